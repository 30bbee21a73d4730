"""Sockets on an application with a fake Transcriber, whose live sessions are real but for what they hear."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from hf_asr_endpoint.api.access import Access
from hf_asr_endpoint.api.app import create_app
from hf_asr_endpoint.api.live_sessions import LiveLimits, LiveSessions
from hf_asr_endpoint.api.realtime.messages import MAX_MESSAGE_BYTES
from tests.api.conftest import DEADLINE_S, make_services, serve_app
from tests.fakes import FakeTranscriber
from tests.transcription.live.simulation import script

RATE = 24_000
PATH = "/v1/realtime?intent=transcription"
Event = dict[str, Any]


def pcm(seconds: float, *, level: float = 0.5, rate: int = RATE) -> bytes:
    return np.full(round(seconds * rate), level * 32_767, "<i2").tobytes()


@dataclass(slots=True)
class Client:
    """A socket, and the events that have come on it."""

    socket: ClientConnection

    def send(self, kind: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"type": kind, **fields}))

    def append(self, data: bytes, *, piece_s: float = 0.5) -> None:
        n = round(piece_s * RATE) * 2
        for begin in range(0, len(data), n):
            audio = base64.b64encode(data[begin : begin + n]).decode()
            self.send("input_audio_buffer.append", audio=audio)

    def update(self, *, event_id: str | None = None, **fields: Any) -> Event:
        """Update the session's `audio.input`, and return the next event."""
        extra = {} if event_id is None else {"event_id": event_id}
        session = {"type": "transcription", "audio": {"input": fields}}
        self.send("session.update", session=session, **extra)
        return self.receive()

    def receive(self) -> Event:
        event: Event = json.loads(self.socket.recv(timeout=DEADLINE_S))
        assert event["event_id"].startswith("event_")
        return event

    def receive_until(self, kind: str) -> list[Event]:
        """Return the events up to the first whose type ends so."""
        events = [self.receive()]
        while not events[-1]["type"].endswith(kind):
            events.append(self.receive())
        return events

    def error(self) -> Event:
        """Return what the next event, an error, says."""
        event = self.receive()
        assert event["type"] == "error", event
        described: Event = event["error"]
        assert described["type"] == "invalid_request_error"
        return described


Connect = Callable[..., Client]


@pytest.fixture
def transcriber() -> FakeTranscriber:
    fake = FakeTranscriber()
    fake.live_words = script(40)
    return fake


@pytest.fixture
def open_client(transcriber: FakeTranscriber) -> Iterator[Connect]:
    """Serve with limits and keys of the first call, and connect."""
    with ExitStack() as stack:
        urls: list[str] = []

        def start(
            path: str = PATH,
            *,
            access: Access | None = None,
            subprotocols: list[str] | None = None,
            greets: bool = True,
            headers: dict[str, str] | None = None,
            live: LiveSessions | None = None,
            **limits: Any,
        ) -> Client:
            if not urls:
                sessions = live or LiveSessions(LiveLimits(**limits))
                services = make_services(transcriber, live=sessions, access=access)
                app = create_app(services)
                urls.append(stack.enter_context(serve_app(app, ws_max_size=MAX_MESSAGE_BYTES)))
            socket = stack.enter_context(
                connect(
                    urls[0].replace("http", "ws") + path,
                    subprotocols=[Subprotocol(name) for name in subprotocols or ()] or None,
                    additional_headers=headers,
                    compression=None,
                )
            )
            client = Client(socket)
            if greets:
                assert client.receive()["type"] == "session.created"
            return client

        yield start


@pytest.fixture
def client(open_client: Connect) -> Client:
    return open_client()
