"""Sends bytes to a server, and checks that what comes back is an answer in HTTP."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from typing import Any

import h11

from tests.fuzz.findings import MAX_CASE_S
from tests.fuzz.request_cases import RequestCase

CLOSED, LEFT = "closed", "left"
PIECE_BYTES = 2**16


class BadAnswer(Exception):
    """The answer breaks a rule that holds for every request."""


class NoAnswer(BadAnswer):
    """There is no whole answer in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """outcome: the status, or CLOSED or LEFT where there is none. body: without its framing."""

    outcome: str
    body: bytes = b""


def exchange(address: tuple[str, int], case: RequestCase) -> Answer:
    """Send a case and return the answer. Raises BadAnswer, also for none in time, and OSError without a server."""
    with socket.create_connection(address, timeout=MAX_CASE_S) as connection:
        _send(connection, case)
        if case.ending == "leave":
            return Answer(outcome=LEFT)
        return _receive(connection, is_head=case.data[:5].upper() == b"HEAD ")


def _send(connection: socket.socket, case: RequestCase) -> None:
    n_bytes = max(1, -(-len(case.data) // case.n_pieces))
    try:
        for begin in range(0, len(case.data), n_bytes):
            connection.sendall(case.data[begin : begin + n_bytes])
        if case.ending == "half-close":
            connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # The server has answered early and closed. Its answer may still be there.


def _receive(connection: socket.socket, *, is_head: bool) -> Answer:
    """Read one answer; those to what a mutation made a second request are left."""
    reader, answer = _reader(is_head=is_head), Answer(outcome=CLOSED)
    ends_s, body, has_begun = time.monotonic() + MAX_CASE_S, bytearray(), False
    while True:
        try:
            event = reader.next_event()
        except h11.RemoteProtocolError as exc:
            if not has_begun:
                return answer  # The connection was closed without a byte.
            raise BadAnswer(f"the answer ({answer.outcome}) is not valid HTTP: {exc}") from exc
        if event is h11.NEED_DATA:
            data = _read(connection, ends_s)
            has_begun = has_begun or bool(data)
            reader.receive_data(data)
        elif isinstance(event, h11.Response):
            answer = Answer(outcome=str(event.status_code))
            status, headers = event.status_code, dict(event.headers)
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            _check(status, headers, bytes(body), is_head=is_head)
            return Answer(outcome=answer.outcome, body=bytes(body))
        elif isinstance(event, h11.InformationalResponse):
            has_begun = False  # "100 Continue" to a client that leaves is no answer.
        else:
            return answer


def _reader(*, is_head: bool) -> Any:
    """Return a parser of an answer: h11 has to know what was asked."""
    reader = h11.Connection(our_role=h11.CLIENT)
    reader.send(h11.Request(method="HEAD" if is_head else "GET", target="/", headers=[("Host", "x")]))
    reader.send(h11.EndOfMessage())
    return reader


def _read(connection: socket.socket, ends_s: float) -> bytes:
    try:
        connection.settimeout(max(0.01, ends_s - time.monotonic()))
        return connection.recv(PIECE_BYTES)
    except TimeoutError as exc:
        raise NoAnswer(f"there is no whole answer after {MAX_CASE_S:.0f} s") from exc
    except ConnectionError:
        return b""


def _check(status: int, headers: dict[bytes, bytes], body: bytes, *, is_head: bool) -> None:
    """Raise BadAnswer for a status that is the server's fault, and for an error without a message."""
    shown = body[:300].decode("utf-8", "replace")
    if status >= 500:
        raise BadAnswer(f"status {status}: {shown}")
    if is_head:
        return
    is_json = headers.get(b"content-type", b"").startswith(b"application/json")
    try:
        text = body.decode("utf-8")
        document = json.loads(text) if is_json else text
    except ValueError as exc:
        raise BadAnswer(f"status {status} with a body that is not what its type says: {shown}") from exc
    if status >= 400 and not _has_message(document):
        raise BadAnswer(f"status {status} without a message: {shown}")


def _has_message(document: Any) -> bool:
    """Return whether an error says anything, in one of the dialects' forms."""
    if isinstance(document, str):
        return bool(document.strip())
    if isinstance(document, list):
        return any(map(_has_message, document))
    keys = ("error", "message", "detail", "msg", "err_msg")
    return isinstance(document, dict) and any(_has_message(document[key]) for key in keys if key in document)
