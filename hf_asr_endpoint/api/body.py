"""Request bodies, read under limits that hold while reading."""

from __future__ import annotations

import asyncio
import re
import tempfile
from dataclasses import dataclass
from typing import BinaryIO, Literal, cast

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from hf_asr_endpoint.api.content_encoding import open_decompressor
from hf_asr_endpoint.errors import BodyTooLarge, InvalidRequest, UploadTimeout

SPOOL_BYTES = 2**20
"""A body, or a part of one, up to this size stays in memory, a larger one goes to a temporary file."""

JSON_OVERHEAD_BYTES = 64 * 2**10
"""Room for everything in a JSON body that is not base64."""

N_HEAD_BYTES = 512
_MULTIPART = re.compile(rb"--[^\r\n]{1,70}\r\ncontent-disposition: *form-data", re.IGNORECASE)  # RFC 7578
_BLANK = b"\xef\xbb\xbf \t\r\n"  # JSON's white space, and the byte order mark some clients put before it


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """What a request may ask of the server."""

    max_audio_bytes: int
    openai_max_audio_bytes: int
    """On OpenAI's paths; not more than `max_audio_bytes`."""
    max_audio_s: float
    max_concurrent_requests: int
    upload_idle_timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A body received whole, at its beginning. Its form is judged by its bytes, not by its headers."""

    file: BinaryIO
    form: Literal["json", "multipart", "bytes"]


async def read_body(request: Request, limits: RequestLimits) -> Body:
    """Receive the body into a file, decompressed, which the caller closes.

    Raises BodyTooLarge as soon as the limit is passed (base64 in JSON may be 4/3 as long), by what arrives or
    by what it decompresses to; UnsupportedEncoding, UploadTimeout when nothing arrives for a while,
    InvalidRequest for an empty body, ClientDisconnect. What then still arrives is thrown away by uvicorn, so
    that the client gets to read why.
    """
    file = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 # It is returned open.
    try:
        is_json = await _receive(request, limits, cast(BinaryIO, file))
        file.seek(0)
        is_multipart = _MULTIPART.match(file.read(N_HEAD_BYTES)) is not None
        file.seek(0)
    except BaseException:
        file.close()
        raise
    form: Literal["json", "multipart", "bytes"] = "json" if is_json else "multipart" if is_multipart else "bytes"
    return Body(file=cast(BinaryIO, file), form=form)


async def _receive(request: Request, limits: RequestLimits, file: BinaryIO) -> bool:
    decompressor = open_decompressor(request.headers.getlist("content-encoding"))
    n_declared = _declared_length(request)
    _check_length(n_declared, is_json=True, limits=limits)  # Before a byte is sent: JSON may be longest.
    writer = _Writer(
        file,
        limits,
        # What a compressed body declares is not what it will have.
        n_declared=0 if decompressor else n_declared,
        declares_json="json" in request.headers.get("content-type", "").lower(),
    )
    n_received = 0
    more = True
    while more:
        message = await _next_message(request, limits, n_received)
        part: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        n_received += len(part)
        if decompressor is None:
            await writer.write(part)
            continue
        # However little comes out of it.
        _check_length(n_received, is_json=True, limits=limits)
        pieces = decompressor.push(part)
        while piece := await asyncio.to_thread(next, pieces, b""):
            await writer.write(piece)
    if decompressor is not None and n_received:
        decompressor.check_whole()
    if not writer.n_bytes:
        raise InvalidRequest("the body is empty; allowed: one that holds audio")
    return writer.is_json


async def _next_message(request: Request, limits: RequestLimits, n_received: int) -> Message:
    try:
        message = await asyncio.wait_for(request.receive(), limits.upload_idle_timeout_s)
    except TimeoutError as exc:
        raise UploadTimeout(
            f"the body stopped after {n_received} bytes; "
            f"allowed: pauses of {limits.upload_idle_timeout_s:g} s at most"
        ) from exc
    if message["type"] == "http.disconnect":
        raise ClientDisconnect()
    return message


class _Writer:
    """Writes a body into a file, judging by its first byte whether it is JSON, and so how long it may be."""

    def __init__(self, file: BinaryIO, limits: RequestLimits, *, n_declared: int, declares_json: bool) -> None:
        self._file = file
        self._limits = limits
        self._n_declared = n_declared
        self._declares_json = declares_json
        self._head = b""
        self.n_bytes = 0
        self.is_json = False

    async def write(self, part: bytes) -> None:
        self._head = self._head or part.lstrip(_BLANK)[:1]
        self.n_bytes += len(part)
        self.is_json = self._head == b"{" or (self._declares_json and self._head in (b"[", b'"'))
        _check_length(max(self.n_bytes, self._n_declared), is_json=self.is_json, limits=self._limits)
        if self.n_bytes > SPOOL_BYTES:
            await asyncio.to_thread(self._file.write, part)
        else:
            self._file.write(part)


def _declared_length(request: Request) -> int:
    declared = request.headers.get("content-length", "0")
    return int(declared) if declared.isdecimal() else 0


def _check_length(n_bytes: int, *, is_json: bool, limits: RequestLimits) -> None:
    json_limit = limits.max_audio_bytes * 4 // 3 + JSON_OVERHEAD_BYTES
    if n_bytes > (json_limit if is_json else limits.max_audio_bytes):
        raise BodyTooLarge(
            f"the body has {n_bytes} bytes or more; "
            f"allowed: {limits.max_audio_bytes} bytes, or {json_limit} bytes of JSON with base64",
            n_bytes=n_bytes,
        )
