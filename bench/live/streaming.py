"""A client whose audio comes as fast as somebody speaks, and what it is told."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from websockets.asyncio.client import ClientConnection, connect

RATE = 16_000
PIECE_S = 0.05
LAST_S = 20.0  # for the texts of the last turns
WORDS = "item.input_audio_transcription.words"


@dataclass(frozen=True, slots=True)
class Shown:
    """A word, when it came and when it ended, in seconds from the first sample. is_live: before its turn ended."""

    text: str
    at_s: float
    end_s: float
    is_live: bool


@dataclass(slots=True)
class Told:
    """What one session told."""

    shown: list[Shown] = field(default_factory=list)
    finals: list[str] = field(default_factory=list)
    ended_after_s: list[float] = field(default_factory=list)
    """From each turn's end to its text."""
    errors: list[str] = field(default_factory=list)
    starts_s: list[float] = field(default_factory=list)
    ends_s: list[float] = field(default_factory=list)
    """Of turns that the server detected, in the audio."""
    committed_at_s: dict[str, float] = field(default_factory=dict)


def socket_url(url: str) -> str:
    """Return the address of live sessions on a server."""
    return url.replace("http", "ws", 1) + "/v1/realtime?intent=transcription"


async def stream(
    url: str, waveform: npt.NDArray[np.float32], *, detection: dict[str, Any] | None, language: str | None = "en"
) -> Told:
    """Send 16 kHz audio in real time and return what came back."""
    told = Told()
    async with connect(socket_url(url), compression=None, max_size=None) as socket:
        update = {
            "include": [WORDS],
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": RATE},
                    "transcription": {"language": language},
                    "turn_detection": detection,
                }
            },
        }
        await socket.send(json.dumps({"type": "session.update", "session": update}))
        began = time.perf_counter()
        listening = asyncio.create_task(_listen(socket, told, began=began))
        await _speak(socket, waveform, began=began)
        done_by = time.perf_counter() + LAST_S
        while told.committed_at_s and time.perf_counter() < done_by:
            await asyncio.sleep(0.05)
        listening.cancel()
    return told


async def _speak(socket: ClientConnection, waveform: npt.NDArray[np.float32], *, began: float) -> None:
    samples = (waveform.clip(-1, 1) * 32_767).astype("<i2").tobytes()
    n = round(PIECE_S * RATE) * 2
    for begin in range(0, len(samples), n):
        audio = base64.b64encode(samples[begin : begin + n]).decode()
        await asyncio.sleep(max(0.0, began + (begin + n) / 2 / RATE - time.perf_counter()))
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
    await socket.send(json.dumps({"type": "input_audio_buffer.commit"}))


async def _listen(socket: ClientConnection, told: Told, *, began: float) -> None:
    async for text in socket:
        event, at_s = json.loads(text), time.perf_counter() - began
        match event["type"].rpartition(".")[2]:
            case "speech_started":
                told.starts_s.append(event["audio_start_ms"] / 1000)
            case "speech_stopped":
                told.ends_s.append(event["audio_end_ms"] / 1000)
            case "committed":
                told.committed_at_s[event["item_id"]] = at_s
            case "delta":
                is_live = event["item_id"] not in told.committed_at_s
                words = (Shown(word["word"], at_s, word["end"], is_live) for word in event["words"])
                told.shown.extend(words)
            case "completed":
                told.finals.append(event["transcript"])
                told.ended_after_s.append(at_s - told.committed_at_s.pop(event["item_id"], at_s))
            case "error" | "failed":
                told.errors.append(event["error"]["message"])
