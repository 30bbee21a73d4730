"""Connections: how many there are, and how long one may take to say what it wants. uvicorn limits neither.

A connection is idle while no request of it is worked on: before its first headers are complete, between two
requests, and while what is left of a refused upload is thrown away. Where there are too many, the one that has
been idle the longest makes way; where none is idle, the new one is refused.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

RETRY_AFTER_S = 5
LINGER_S = 2.0
"""A client that is refused may be sending: closed at once, its connection is reset, and it never reads why."""
MAX_LINGERING = 64  # refused connections, beyond those that are allowed; more are closed at once
CLOSE = b"connection", b"close"
LENGTHS = {b"content-length", b"transfer-encoding"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """header_timeout_s: to send a request's headers, and between two requests at most.

    drain_timeout_s: to send what is left of an upload that has been refused, so that the client reads why.
    """

    max_connections: int
    header_timeout_s: float
    drain_timeout_s: float


class LimitedProtocol(H11Protocol):
    """One connection. Made by uvicorn, from a subclass that has the limits."""

    limits: ClassVar[ConnectionLimits]
    _idle_since_s: float | None = None
    _timer: asyncio.TimerHandle | None = None
    _is_draining = False
    _is_refused = False
    _is_upgraded = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's own
        super().connection_made(transport)
        self._watch()
        if len(self.connections) > self.limits.max_connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        super().data_received(data)
        if self._is_upgraded:  # A WebSocket has the transport, and times of its own.
            return
        if self.cycle is not None and {name for name, _ in self.cycle.scope["headers"]} >= LENGTHS:
            # Two lengths may hide a second request from a proxy (RFC 9112, section 6.1): this one is the last.
            self.cycle.keep_alive = False
        self._watch()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._is_upgraded = True
        self._stop_timer()
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Respond to what is not HTTP. Behind a request's headers it is a body: nobody waits for the response to
        that request any more, or it has begun already."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
        elif self.cycle is not None and self.cycle.scope["method"] == "HEAD":
            self.transport.write(
                self.conn.send(h11.Response(status_code=400, headers=[CLOSE], reason=b"Bad Request"))
            )
            self.transport.close()  # uvicorn would send a body, which h11 refuses to do here.
        else:
            super().send_400_response(msg)
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _watch(self) -> None:
        """Start the time of a connection that has become idle; stop that of one that works."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._idle_since_s = None
            self._stop_timer()
            return
        is_draining = self.conn.their_state is h11.SEND_BODY
        if self._timer is not None and self._is_draining and not is_draining:
            self._stop_timer()  # What was left has come: now headers are awaited.
        if self._timer is None and not self.transport.is_closing():
            self._idle_since_s = self.loop.time()
            self._is_draining = is_draining
            limit_s = self.limits.drain_timeout_s if is_draining else self.limits.header_timeout_s
            self._timer = self.loop.call_later(limit_s, self._end_idle)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_idle(self) -> None:
        self._timer = None
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            limit_s = self.limits.header_timeout_s
            self._refuse(
                408, f"the request's headers were not complete after {limit_s:g} s; allowed: {limit_s:g} s"
            )
        else:
            self.transport.close()

    def _make_room(self) -> None:
        idle = [one for one in self.connections if isinstance(one, LimitedProtocol) and one.is_evictable(self)]
        if idle:
            min(idle, key=lambda one: one._idle_since_s or 0.0).transport.close()
        else:
            limit = self.limits.max_connections
            self._refuse(429, f"{limit} connections are open; allowed: {limit}; try again in {RETRY_AFTER_S} s")

    def is_evictable(self, newcomer: LimitedProtocol) -> bool:
        is_idle = self._idle_since_s is not None and not self._is_refused
        return self is not newcomer and is_idle and not self.transport.is_closing()

    def _refuse(self, status: int, message: str) -> None:
        """Respond before a request is there. Its path would say which dialect it speaks: this body is simple."""
        body = json.dumps({"error": message}).encode()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nRetry-After: {RETRY_AFTER_S}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self._is_refused = True
        self._stop_timer()
        if len(self.connections) <= self.limits.max_connections + MAX_LINGERING:
            self.transport.write_eof()
            self._timer = self.loop.call_later(LINGER_S, self.transport.close)
        else:
            self.transport.close()


def limited_protocol(limits: ConnectionLimits) -> type[LimitedProtocol]:
    """Return the protocol for uvicorn."""
    return type("LimitedProtocol", (LimitedProtocol,), {"limits": limits})
