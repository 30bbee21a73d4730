"""WhisperLiveKit on the same audio: its own server in its own environment, and a client of its protocol.

https://github.com/QuentinFuxa/WhisperLiveKit. Its text has no turns: words are committed, one after the other.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import requests
from websockets.asyncio.client import ClientConnection, connect

from bench.live.streaming import PIECE_S, RATE, Shown, Told
from bench.weights import prepare

POLICIES = ("localagreement", "simulstreaming")
ALIGNMENT_HEADS = {"embedded:whisper-base": "ABzY8KQ!870{>%RzyTQH3`Q^yNP!>##QT-<FaQ7m"}
"""OpenAI's (github.com/openai/whisper, whisper/__init__.py): the weights have none in its form."""
START_TIMEOUT_S, STOP_TIMEOUT_S = 300.0, 30.0
POLL_INTERVAL_S = 0.2
LAST_S = 60.0  # for its last words: it falls behind where it has no more than two busy cores
END = "ready_to_stop"  # the type of its last message


@contextmanager
def run_peer(python: Path, model: str, *, policy: str) -> Iterator[str]:
    """Run its server with one of POLICIES; yields its address. python: of an environment that has it.

    Both policies use CTranslate2: LocalAgreement for the whole model, SimulStreaming for the encoder. Raises
    RuntimeError with its log if it does not start.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [str(python), "-m", "whisperlivekit.basic_server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--pcm-input", "--lan", "en", "--backend", "faster-whisper", "--backend-policy", policy]
    if policy == "localagreement":
        command += ["--model-path", prepare(model, "ctranslate2")]
    else:
        command += ["--encoder-model-path", prepare(model, "ctranslate2")]
        command += ["--decoder-model-path", prepare(model, "transformers")]
        command += ["--custom-alignment-heads", ALIGNMENT_HEADS[model]]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{port}"
            if not _wait_until_ready(url, process):
                log.seek(0)
                raise RuntimeError(f"WhisperLiveKit did not start:\n{log.read().decode(errors='replace')}")
            yield url
        finally:
            process.terminate()
            process.wait(STOP_TIMEOUT_S)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            return requests.get(url, timeout=START_TIMEOUT_S).ok
        except requests.ConnectionError:
            time.sleep(POLL_INTERVAL_S)  # Its port is not open yet, and nothing tells when it is.
    return False


async def stream_to_peer(url: str, waveform: npt.NDArray[np.float32]) -> Told:
    """Send 16 kHz audio in real time and return what came back."""
    told = Told()
    async with connect(url.replace("http", "ws", 1) + "/asr", compression=None, max_size=None) as connection:
        began = time.perf_counter()
        listening = asyncio.create_task(_listen(connection, told, began=began, end_s=len(waveform) / RATE))
        await _speak(connection, waveform, began=began)
        await asyncio.wait({listening}, timeout=LAST_S)
        listening.cancel()
    return told


async def _speak(connection: ClientConnection, waveform: npt.NDArray[np.float32], *, began: float) -> None:
    samples = (waveform.clip(-1, 1) * 32_767).astype("<i2").tobytes()
    n = round(PIECE_S * RATE) * 2
    for begin in range(0, len(samples), n):
        await asyncio.sleep(max(0.0, began + (begin + n) / 2 / RATE - time.perf_counter()))
        await connection.send(samples[begin : begin + n])
    await connection.send(b"")  # the end


async def _listen(connection: ClientConnection, told: Told, *, began: float, end_s: float) -> None:
    async for message in connection:
        state, at_s = json.loads(message), time.perf_counter() - began
        if state.get("type") == END:
            return
        if state.get("error"):
            told.errors.append(str(state["error"]))
        if text := _committed(state):
            told.finals = [text]
            words = text.split()[len(told.shown) :]
            told.shown.extend(Shown(word, at_s, 0.0, at_s < end_s) for word in words)


def _committed(state: dict[str, Any]) -> str:
    """Return the text of a message that is not to change, from the beginning of the session on."""
    return " ".join(line["text"].strip() for line in state.get("lines", ()) if line.get("text"))
