"""The port: its connections, how many there are, and what the log says of each."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from hf_asr_endpoint.api.errors import MESSAGE_FORMAT
from hf_asr_endpoint.api.in_flight import InFlightRequests
from hf_asr_endpoint.api.live_sessions import LiveSessions
from hf_asr_endpoint.api.live_socket import NORMAL, Close, LiveSocket, SessionExpired
from hf_asr_endpoint.api.metrics import Metrics
from hf_asr_endpoint.api.middleware import log_request
from hf_asr_endpoint.api.outbox import Outbox
from hf_asr_endpoint.api.served_model import ServedModels
from hf_asr_endpoint.api.wyoming.conversation import WyomingConversation, join_chunks
from hf_asr_endpoint.api.wyoming.wire import MAX_LINE_BYTES, Message, TcpWire
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import ANYBODY

API = "Wyoming"
STATUSES = replace(MESSAGE_FORMAT, statuses={SessionExpired: 408})
"""The log and the metrics have the statuses that the errors would have over HTTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WyomingPort:
    """max_connections: at a time. One more takes the place of the oldest that has begun no utterance."""

    listener: socket.socket
    max_connections: int


class WyomingServer:
    """Used in the event loop."""

    def __init__(
        self,
        port: WyomingPort,
        transcriber: Transcriber,
        *,
        models: ServedModels,
        sessions: LiveSessions,
        in_flight: InFlightRequests,
        metrics: Metrics,
    ) -> None:
        self._port = port
        self._transcriber = transcriber
        self._models = models
        self._sessions = sessions
        self._in_flight = in_flight
        self._metrics = metrics
        self._n_open = 0  # those that have made room and are about to end included
        self._connections: set[LiveSocket[Message]] = set()
        self._without_place: dict[LiveSocket[Message], None] = {}  # in the order in which they came

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Accept connections. At the end, those with an utterance end behind it, or with the transcriber."""
        server = await asyncio.start_server(self._accept, sock=self._port.listener, limit=MAX_LINE_BYTES)
        try:
            yield
        finally:
            server.close()
            for connection in tuple(self._connections):
                if connection in self._without_place:
                    connection.close(Close(NORMAL))
                else:
                    connection.finish()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = TcpWire(reader, writer)
        self._n_open += 1
        try:
            if self._has_room():
                with self._in_flight.count():
                    await self._serve(wire)
            else:
                limit = self._port.max_connections
                text = f"{limit} connections are open, all with an utterance or about to end; allowed: {limit}"
                await wire.send({"type": "error", "data": {"text": text, "code": "Overloaded"}})
                await wire.close(Close(NORMAL))
        except ConnectionError:
            pass  # The client has left.
        finally:
            self._n_open -= 1
            writer.transport.abort()

    def _has_room(self) -> bool:
        """Make room for a connection, if there is none. Returns False where that is not possible.

        Those that have made room take a moment to end, and for that moment there may be as many of them again.
        """
        if self._n_open > 2 * self._port.max_connections:
            return False
        if len(self._connections) < self._port.max_connections:
            return True
        if not self._without_place:
            return False
        oldest = next(iter(self._without_place))
        self._forget(oldest)
        oldest.close(Close(NORMAL))
        return True

    async def _serve(self, wire: TcpWire) -> None:
        started = time.perf_counter()
        with ExitStack() as held:

            def take_place(finish: Callable[[], None]) -> None:
                held.enter_context(self._sessions.open(finish))
                self._without_place.pop(connection, None)

            conversation = WyomingConversation(self._transcriber, models=self._models, take_place=take_place)
            connection = LiveSocket[Message](
                wire,
                conversation,
                transcriber=self._transcriber,
                limits=self._sessions.limits,
                caller=ANYBODY,
                outbox=Outbox(join_chunks),
            )
            self._connections.add(connection)
            self._without_place[connection] = None
            try:
                await connection.run()
            finally:
                self._forget(connection)
                self._record(conversation, connection.audio_s, total_s=time.perf_counter() - started)

    def _forget(self, connection: LiveSocket[Message]) -> None:
        self._connections.discard(connection)
        self._without_place.pop(connection, None)

    def _record(self, conversation: WyomingConversation, audio_s: float, *, total_s: float) -> None:
        """Count a connection that has ended, and log it."""
        is_described = conversation.kind == "describe"
        if conversation.error is not None:
            status = str(STATUSES.describe(conversation.error).status)
        else:
            status = "200" if conversation.is_answered or is_described else "client-left"
        heard_s = audio_s if conversation.is_answered else None
        self._metrics.count(api=API, status=status, total_s=total_s, audio_s=heard_s)
        log_request(
            {
                "method": "WYOMING",
                "path": conversation.kind,
                "api": API,
                "status": status,
                "id": uuid.uuid4().hex,
                "key": None,
                "audio_s": None if heard_s is None else round(heard_s, 2),
                "total_s": round(total_s, 3),
                "trace_id": None,
            },
            level=logging.DEBUG if is_described else logging.INFO,
        )
