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

from starlette.requests import Request

from hf_asr_endpoint.api.body_parser import AcceptedBodies, Body, BodyLimits, BodyParser
from hf_asr_endpoint.api.uploads import Upload

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
    max_wait_s: float
    """Of the time until a request's turn."""
    upload_idle_timeout_s: float
    """Of a pause during an upload."""
    upload_timeout_s: float
    """Of a whole upload."""
    request_timeout_s: float
    """From the end of the upload to the transcription."""


@asynccontextmanager
async def receive_body(
    request: Request,
    upload: Upload,
    limits: BodyLimits,
    accepted: AcceptedBodies,
    *,
    on_received: Callable[[], None] = lambda: None,
) -> AsyncIterator[Body]:
    """Receive, decompress and parse the body. Its files are open until the context ends.

    on_received: called once the last byte is there, before that is parsed; what it raises ends the request.

    Raises BodyTooLarge as soon as a limit is passed, by what arrives or by what it decompresses to; InvalidRequest
    and its kinds for a body that cannot be parsed; UnsupportedEncoding; UnsupportedAudio for a form where none is
    accepted; StorageFailed if the disk is full; and what `Upload.next` raises.
    uvicorn discards what arrives after that, so that the client gets to read the answer.
    """
    parser = BodyParser(request, limits, accepted)
    try:
        yield await _parse(request, upload, parser, on_received)
    finally:
        # In a thread, since freeing a large file takes time, and not awaited: a client that leaves an event stream
        # cancels whatever is awaited again and again.
        asyncio.get_running_loop().run_in_executor(_THREADS, parser.close)


async def _parse(request: Request, upload: Upload, parser: BodyParser, on_received: Callable[[], None]) -> Body:
    waiting = bytearray()
    is_last = False
    while not is_last:
        data, is_last = await upload.next(request.receive)
        waiting += data
        if len(waiting) >= BLOCK_BYTES and not is_last:
            await _in_thread(partial(parser.take, bytes(waiting)))
            waiting.clear()
    on_received()
    return await _in_thread(partial(parser.finish, bytes(waiting)))


async def _in_thread(work: Callable[[], T]) -> T:
    """Run work in a parsing thread. A cancelled request waits for the thread, which uses its files."""
    running = asyncio.get_running_loop().run_in_executor(_THREADS, work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.gather(running, return_exceptions=True)
        raise
