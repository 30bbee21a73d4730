"""Request bodies, parsed while they are received, under limits that hold while reading.

The event loop only collects blocks; a worker thread decompresses and parses each of them, so that no body,
whatever it holds, keeps other requests waiting. This module does not read the bytes; `body_parser` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from hf_asr_endpoint.api.body_parser import AcceptedBodies, Body, BodyLimits, BodyParser
from hf_asr_endpoint.api.multipart import FormBody
from hf_asr_endpoint.errors import UploadTimeout

BLOCK_BYTES = 128 * 2**10
"""The size of a block that a worker thread parses: milliseconds of work, so that the handover costs little."""

N_PARSING_THREADS = 2
"""Apart from those that read and write stored files. More of them would take Python's lock from the event loop."""

_THREADS = ThreadPoolExecutor(N_PARSING_THREADS, thread_name_prefix="body")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """What a request may ask of the server."""

    max_audio_bytes: int
    openai_max_audio_bytes: int
    """On OpenAI's paths; not more than `max_audio_bytes`."""
    max_audio_s: float
    max_concurrent_requests: int
    upload_idle_timeout_s: float


@asynccontextmanager
async def receive_body(request: Request, limits: BodyLimits, accepted: AcceptedBodies) -> AsyncIterator[Body]:
    """Receive, decompress and parse the body. Its files are open until the context ends.

    Raises BodyTooLarge as soon as a limit is passed, by what arrives or by what it decompresses to; InvalidRequest
    and its kinds for a body that cannot be parsed; UnsupportedEncoding; UnsupportedAudio for a form where none is
    accepted; UploadTimeout if nothing arrives for a while; StorageFailed if the disk is full; ClientDisconnect.
    uvicorn discards what arrives after that, so that the client gets to read the answer.
    """
    parser = BodyParser(request, limits, accepted)
    try:
        yield await _parse(request, limits, parser)
    finally:
        # In a thread, since freeing a large file takes time, and not awaited: a client that leaves an event stream
        # cancels whatever is awaited again and again.
        asyncio.get_running_loop().run_in_executor(_THREADS, parser.close)


@asynccontextmanager
async def receive_form(request: Request, limits: BodyLimits, *, file_field: str) -> AsyncIterator[FormBody]:
    """Receive a form, as `receive_body` does, where nothing else is accepted."""
    async with receive_body(request, limits, AcceptedBodies(audio_field=file_field, form=True)) as body:
        assert isinstance(body, FormBody)
        yield body


async def _parse(request: Request, limits: BodyLimits, parser: BodyParser) -> Body:
    waiting = bytearray()
    n_received = 0
    is_last = False
    while not is_last:
        message = await _next_message(request, limits, n_received)
        waiting += message.get("body", b"")
        n_received += len(message.get("body", b""))
        is_last = not message.get("more_body", False)
        if len(waiting) >= BLOCK_BYTES and not is_last:
            await _in_thread(partial(parser.take, bytes(waiting)))
            waiting.clear()
    return await _in_thread(partial(parser.finish, bytes(waiting)))


async def _in_thread(work: Callable[[], T]) -> T:
    """Run work in a parsing thread. A cancelled request waits for the thread, which uses its files."""
    running = asyncio.get_running_loop().run_in_executor(_THREADS, work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.gather(running, return_exceptions=True)
        raise


async def _next_message(request: Request, limits: BodyLimits, n_received: int) -> Message:
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
