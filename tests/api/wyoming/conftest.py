"""The port on sessions that are real but for what they hear, with the protocol's own client."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.event import Event

from hf_asr_endpoint.api.in_flight import InFlightRequests
from hf_asr_endpoint.api.live_sessions import LiveLimits, LiveSessions
from hf_asr_endpoint.api.metrics import Metrics
from hf_asr_endpoint.api.wyoming.server import WyomingPort, WyomingServer
from tests.api.conftest import DEADLINE_S, MODELS, POLL_INTERVAL_S
from tests.api.realtime.conftest import pcm
from tests.fakes import FakeTranscriber
from tests.transcription.live.simulation import script

RATE, WIDTH = 16_000, 2
PIECE_BYTES = RATE * WIDTH // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A running server."""

    number: int
    sessions: LiveSessions
    metrics: Metrics

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncTcpClient]:
        async with AsyncTcpClient("127.0.0.1", self.number) as client, asyncio.timeout(DEADLINE_S):
            yield client


@pytest.fixture
def transcriber() -> FakeTranscriber:
    fake = FakeTranscriber()
    fake.live_words = script(40)
    return fake


@asynccontextmanager
async def serving(
    transcriber: FakeTranscriber, *, max_connections: int = 10, **limits: Any
) -> AsyncIterator[Port]:
    """Serve, in the event loop that the clients have. limits: of live sessions."""
    sessions, in_flight = LiveSessions(LiveLimits(**limits)), InFlightRequests(4)
    metrics = Metrics(transcriber, models=MODELS, in_flight=in_flight, live=sessions)
    listener = socket.create_server(("127.0.0.1", 0))
    server = WyomingServer(
        WyomingPort(listener=listener, max_connections=max_connections),
        transcriber,
        models=MODELS,
        sessions=sessions,
        in_flight=in_flight,
        metrics=metrics,
    )
    async with server.run():
        yield Port(number=listener.getsockname()[1], sessions=sessions, metrics=metrics)
    transcriber.close()
    assert await in_flight.wait_until_none(DEADLINE_S)


def samples(seconds: float, *, level: float = 0.5) -> bytes:
    return pcm(seconds, level=level, rate=RATE)


async def begin(client: AsyncTcpClient, **transcribe: Any) -> None:
    """Begin an utterance as Home Assistant does."""
    await client.write_event(Transcribe(**transcribe).event())
    await client.write_event(AudioStart(rate=RATE, width=WIDTH, channels=1).event())


async def speak(client: AsyncTcpClient, data: bytes, *, piece_bytes: int = PIECE_BYTES) -> None:
    for first in range(0, len(data), piece_bytes):
        audio = data[first : first + piece_bytes]
        await client.write_event(AudioChunk(rate=RATE, width=WIDTH, channels=1, audio=audio).event())


async def stop(client: AsyncTcpClient) -> None:
    await client.write_event(AudioStop().event())


async def rest(client: AsyncTcpClient) -> list[Event]:
    """Return all events up to the end of the connection."""
    events = []
    while (event := await client.read_event()) is not None:
        events.append(event)
    return events


async def text_of(client: AsyncTcpClient) -> str:
    """Return the text as Home Assistant does: it passes over all other events."""
    while (event := await client.read_event()) is not None:
        if Transcript.is_type(event.type):
            return Transcript.from_event(event).text
    raise AssertionError("the connection was closed")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(POLL_INTERVAL_S)
