"""The Wyoming protocol's own client, as Home Assistant uses it, on the server with real weights."""

from __future__ import annotations

import asyncio

import numpy as np
from wyoming.asr import Transcribe, Transcript, TranscriptChunk
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient
from wyoming.event import Event
from wyoming.info import Describe, Info

from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.clients.test_openai_realtime import SPOKEN, TIMEOUT_S, plain
from tests.conftest import needs_live_sessions
from tests.server import Server

pytestmark = needs_live_sessions

FORMAT = {"rate": SAMPLE_RATE, "width": 2, "channels": 1}


async def transcribe(server: Server, speech: Waveform, *, speed: float) -> list[Event]:
    """Speak faster than real time by `speed`, and return what comes back."""
    data = (speech.clip(-1, 1) * 32_767).astype("<i2").tobytes()
    n_bytes = SAMPLE_RATE // 10 * 2
    async with AsyncClient.from_uri(server.wyoming_uri) as client, asyncio.timeout(TIMEOUT_S):
        await client.write_event(Transcribe(language="en").event())
        await client.write_event(AudioStart(**FORMAT).event())
        for first in range(0, len(data), n_bytes):
            audio = data[first : first + n_bytes]
            await client.write_event(AudioChunk(**FORMAT, audio=audio).event())
            await asyncio.sleep(0.1 / speed)
        await client.write_event(AudioStop().event())
        events = []
        while (event := await client.read_event()) is not None:
            events.append(event)
        return events


def test_an_utterance_is_transcribed_while_it_is_spoken(server: Server, speech: Waveform) -> None:
    started, *chunks, transcript, stopped = asyncio.run(transcribe(server, speech, speed=8.0))
    assert (started.type, stopped.type) == ("transcript-start", "transcript-stop")
    text = Transcript.from_event(transcript).text
    assert SPOKEN in plain(text)
    assert "".join(TranscriptChunk.from_event(chunk).text for chunk in chunks).split()[-1] == text.split()[-1]


def test_silence_is_no_text(server: Server) -> None:
    events = asyncio.run(transcribe(server, np.zeros(2 * SAMPLE_RATE, np.float32), speed=1_000.0))
    assert [event.data.get("text") for event in events if event.type == "transcript"] == [""]


def test_the_model_is_described(server: Server) -> None:
    async def describe() -> Info:
        async with AsyncClient.from_uri(server.wyoming_uri) as client, asyncio.timeout(TIMEOUT_S):
            await client.write_event(Describe().event())
            event = await client.read_event()
            assert event is not None
            return Info.from_event(event)

    [model] = asyncio.run(describe()).asr[0].models
    assert (model.name, model.installed) == ("openai/whisper-base", True)
    assert {"en", "de", "zh"} <= set(model.languages)
