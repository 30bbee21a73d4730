"""Events on a TCP connection: a line of JSON, more JSON, and bytes.

{"type": "...", "data": {...}, "data_length": 12, "payload_length": 2048}⏎
<data_length bytes: a JSON object, which is put on top of data>
<payload_length bytes: samples>
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from hf_asr_endpoint import __version__
from hf_asr_endpoint.api.live_socket import NORMAL, Close
from hf_asr_endpoint.api.outbox import Event
from hf_asr_endpoint.api.plain_fields import validate
from hf_asr_endpoint.errors import InvalidRequest
from hf_asr_endpoint.messages import show_value

MAX_LINE_BYTES = 64 * 2**10
"""asyncio's own limit, with which all clients read lines: our long texts are behind the line."""
MAX_DATA_BYTES = 64 * 2**10
MAX_PIECE_BYTES = 64 * 2**10  # of a payload, which may have any length: it is passed on in pieces
LINGER_S = 2.0
"""A client that is refused may be sending: closed at once, its connection is reset, and it never reads why."""


@dataclass(frozen=True, slots=True)
class ClientEvent:
    """The beginning of an event. Its payload follows in pieces."""

    kind: str
    data: Mapping[str, Any]
    payload_bytes: int


Message: TypeAlias = ClientEvent | bytes


class _Head(BaseModel):
    """Other fields, such as the client's version, mean nothing here."""

    model_config = ConfigDict(strict=True, frozen=True)

    type: str = Field(max_length=100, description="a text of at most 100 characters")
    data: dict[str, Any] | None = Field(None, description="an object")
    data_length: int | None = Field(
        None, ge=0, le=MAX_DATA_BYTES, description=f"0 to {MAX_DATA_BYTES}, a number of bytes"
    )
    payload_length: int | None = Field(None, ge=0, description="a number of bytes")


class TcpWire:
    """A `Wire`. Its events are {"type", "data"}."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """reader: with a limit of MAX_LINE_BYTES."""
        self._reader = reader
        self._writer = writer
        self._payload_bytes = 0  # that have not been read

    async def receive(self) -> Message | None:
        """Return an event, and behind it each piece of its payload."""
        try:
            if self._payload_bytes:
                piece = await self._reader.read(min(self._payload_bytes, MAX_PIECE_BYTES))
                self._payload_bytes -= len(piece)
                return piece or None
            head = validate(_Head, _parse(await self._reader.readuntil(b"\n"), "the line"))
            data = head.data or {}
            if head.data_length:
                data = {**data, **_parse(await self._reader.readexactly(head.data_length), "the data")}
        except asyncio.LimitOverrunError as exc:
            raise InvalidRequest(f"a line is too long; allowed: {MAX_LINE_BYTES} bytes of JSON") from exc
        except (asyncio.IncompleteReadError, OSError):  # OSError: the network has given up on the client, too.
            return None
        self._payload_bytes = head.payload_length or 0
        return ClientEvent(head.type, data, self._payload_bytes)

    async def send(self, event: Event) -> None:
        with _telling_who_left():
            self._writer.write(encode(event))
            await self._writer.drain()

    async def close(self, close: Close) -> None:
        with _telling_who_left():
            if close.code != NORMAL:
                self._writer.write_eof()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LINGER_S):
                        while await self._reader.read(MAX_PIECE_BYTES):
                            pass
            self._writer.close()
            await self._writer.wait_closed()


@contextlib.contextmanager
def _telling_who_left() -> Iterator[None]:
    """Raise ConnectionResetError for all that a socket raises without a client.

    A timeout of the network is not a ConnectionError, nor is "no route to host"; uvloop has RuntimeError for a
    socket that is closed.
    """
    try:
        yield
    except (OSError, RuntimeError) as exc:
        raise ConnectionResetError("the client has left") from exc


def encode(event: Event) -> bytes:
    """Return an event of {"type", "data"} as bytes."""
    data = json.dumps(event["data"]).encode() if event["data"] else b""
    head = {"type": event["type"], "version": __version__, "data_length": len(data)}
    return json.dumps(head).encode() + b"\n" + data


def _parse(text: bytes, name: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise InvalidRequest(f"{name} is {show_value(text)}, which is not JSON; allowed: a JSON object") from exc
    if not isinstance(value, dict):
        raise InvalidRequest(f"{name} is {show_value(value)}; allowed: a JSON object")
    return value
