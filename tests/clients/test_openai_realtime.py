"""OpenAI's own Python client in live sessions of the server with real weights."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import openai
import pytest
import soxr
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import (
    ConversationItemInputAudioTranscriptionCompletedEvent,
    ConversationItemInputAudioTranscriptionDeltaEvent,
    RealtimeErrorEvent,
    RealtimeServerEvent,
)

from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.conftest import needs_live_sessions
from tests.server import Server

pytestmark = needs_live_sessions

RATE = 24_000
TIMEOUT_S = 120.0
SPOKEN = "ask not what your country can do for you"
WORDS, LOGPROBS = (f"item.input_audio_transcription.{name}" for name in ("words", "logprobs"))


def pcm(speech: Waveform) -> bytes:
    samples = soxr.resample(np.concatenate([speech, np.zeros(SAMPLE_RATE, np.float32)]), SAMPLE_RATE, RATE)
    return (samples.clip(-1, 1) * 32_767).astype("<i2").tobytes()


def plain(text: str) -> str:
    return text.lower().replace(",", "").replace(".", "")


async def feed(connection: AsyncRealtimeConnection, data: bytes, *, speed: float) -> None:
    """Send the audio in pieces of 100 ms, faster than real time by `speed`."""
    n = RATE // 10 * 2
    for begin in range(0, len(data), n):
        await connection.input_audio_buffer.append(audio=base64.b64encode(data[begin : begin + n]).decode())
        await asyncio.sleep(0.1 / speed)


async def until_completed(connection: AsyncRealtimeConnection) -> AsyncIterator[RealtimeServerEvent]:
    async with asyncio.timeout(TIMEOUT_S):
        async for event in connection:
            assert not isinstance(event, RealtimeErrorEvent), event
            yield event
            if isinstance(event, ConversationItemInputAudioTranscriptionCompletedEvent) and event.transcript:
                return


async def transcribe(server: Server, data: bytes, *, speed: float, **fields: Any) -> list[RealtimeServerEvent]:
    client = AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any")
    session: Any = {
        "type": "transcription",
        "include": [LOGPROBS, WORDS],
        "audio": {"input": {"transcription": {"model": "whisper-1", "language": "en"}, **fields}},
    }
    async with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        await connection.session.update(session=session)
        feeding = asyncio.create_task(feed(connection, data, speed=speed))
        if fields.get("turn_detection", 0) is None:
            await feeding
            await connection.input_audio_buffer.commit()
        events = [event async for event in until_completed(connection)]
        await feeding
        return events


def test_words_come_while_somebody_speaks(server: Server, speech: Waveform) -> None:
    turn = {"type": "server_vad", "silence_duration_ms": 700}
    events = asyncio.run(transcribe(server, pcm(speech), speed=2.0, turn_detection=turn))
    kinds = [event.type for event in events]
    assert kinds[:3] == ["session.created", "session.updated", "input_audio_buffer.speech_started"]
    completed = events[-1]
    assert isinstance(completed, ConversationItemInputAudioTranscriptionCompletedEvent)
    assert plain(completed.transcript) == "and so my fellow americans"
    deltas = [event for event in events if isinstance(event, ConversationItemInputAudioTranscriptionDeltaEvent)]
    shown = "".join(event.delta or "" for event in deltas)
    assert "fellow" in plain(shown)  # Which words come early depends on the machine.
    assert completed.logprobs
    words = completed.model_dump()["words"]
    assert "".join(f" {word['word']}" for word in words).strip() == completed.transcript
    assert all(word["start"] <= word["end"] <= 12 for word in words)


def test_a_whole_file_is_one_turn_where_the_client_commits(server: Server, speech: Waveform) -> None:
    events = asyncio.run(transcribe(server, pcm(speech), speed=1_000.0, turn_detection=None))
    completed = events[-1]
    assert isinstance(completed, ConversationItemInputAudioTranscriptionCompletedEvent)
    assert SPOKEN in plain(completed.transcript)
    assert [event.type for event in events].count("input_audio_buffer.committed") == 1


def test_a_client_secret_is_made_and_used(server: Server) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="any") as client:
        secret = client.realtime.client_secrets.create(session={"type": "transcription"})
    assert secret.session.type == "transcription"

    async def connect() -> str:
        opened = AsyncOpenAI(base_url=f"{server.url}/v1", api_key=secret.value)
        async with opened.realtime.connect(extra_query={"intent": "transcription"}) as connection:
            return (await connection.recv()).type

    assert asyncio.run(connect()) == "session.created"


@pytest.mark.parametrize("model", ["gpt-4o-transcribe", "gpt-realtime-whisper"])
def test_models_that_clients_have_built_in_are_known(server: Server, model: str) -> None:
    async def connect() -> str:
        client = AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any")
        async with client.realtime.connect(model=model) as connection:
            return (await connection.recv()).type

    assert asyncio.run(connect()) == "session.created"
