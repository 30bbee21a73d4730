"""A transcription in flight, as the event loop sees it: filled by the request's thread, read by one task."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from hf_asr_endpoint.cancellation import CancellationToken
from hf_asr_endpoint.errors import EngineError
from hf_asr_endpoint.types import Progress, Segment, Transcription

Event = Progress | Segment | Transcription
"""What a stream yields."""


class TranscriptionStream:
    """An asynchronous iterator over a recording's segments, in order, and last its Transcription.

    Between them it yields how far the recording is, for those who want to know.

    Raises InvalidAudio, EngineError and their kinds. Made in the event loop.
    """

    def __init__(self, token: CancellationToken) -> None:
        self._token = token
        self._loop = asyncio.get_running_loop()
        self._events: deque[Event] = deque()
        self._error: Exception | None = None
        self._is_finished = False
        self._changed = asyncio.Event()
        self._end_callbacks: list[Callable[[], None]] = []

    def __aiter__(self) -> TranscriptionStream:
        return self

    async def __anext__(self) -> Event:
        await self.wait_for_event()
        if not self._events:
            raise StopAsyncIteration
        return self._events.popleft()

    async def wait_for_event(self) -> None:
        """Return when the next event is there, or the end. Raises what iterating would raise."""
        while not self._events and not self._is_finished:
            self._changed.clear()
            await self._changed.wait()
        if not self._events and self._error is not None:
            raise self._error

    def close(self, error: Exception | None = None) -> None:
        """Stop the work, within one decoding step. Returns at once; what reads the audio closes it.

        error: raised by the stream, instead of what stopping the work comes to.
        """
        if error is not None:
            self._end(error)
            self._changed.set()
        self._token.cancel()

    def add_end_callback(self, callback: Callable[[], None]) -> None:
        """Call `callback` in the event loop when the stream has ended, at once if it has."""
        if self._is_finished:
            callback()
        else:
            self._end_callbacks.append(callback)

    def put(self, event: Event) -> None:
        """Add an event. From any thread."""
        self._call(lambda: self._events.append(event))

    def finish(self, error: BaseException | None = None) -> None:
        """End the stream after its events. The reader gets the error unchanged, so that a bug is logged as one."""
        self._call(lambda: self._end(error))

    def _end(self, error: BaseException | None) -> None:
        if self._is_finished:
            return
        self._is_finished = True
        if error is None or isinstance(error, Exception):
            self._error = error
        else:  # Such as SystemExit, which would end the reader's event loop.
            self._error = EngineError(f"the transcription ended: {type(error).__name__}: {error}")
            self._error.__cause__ = error
        callbacks, self._end_callbacks = self._end_callbacks, []
        for callback in callbacks:
            callback()

    def _call(self, change: Callable[[], object]) -> None:
        def run() -> None:
            change()
            self._changed.set()

        with contextlib.suppress(RuntimeError):  # The loop has been closed: nobody reads the stream any more.
            self._loop.call_soon_threadsafe(run)


async def last_of(stream: TranscriptionStream) -> Transcription:
    """Return the transcription of a stream, and close it in every case."""
    try:
        async for event in stream:
            if isinstance(event, Transcription):
                return event
    finally:
        stream.close()
    raise EngineError("the transcription ended without a result")
