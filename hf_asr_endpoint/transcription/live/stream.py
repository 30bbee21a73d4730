"""A live session as the event loop sees it: audio and commands go in, events come out."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from hf_asr_endpoint.transcription.live.actor import Decoder, SessionActor
from hf_asr_endpoint.transcription.live.events import LiveEvent
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.live.session import LiveSession

OnEvents = Callable[[Sequence[LiveEvent]], None]
"""Takes the events of a step of the session, which may be none. From any thread."""
OnEnd = Callable[[Exception | None], None]
"""Takes the error that ended the session, if any. From any thread; the first call counts."""


class SessionPort(Protocol):
    """A session, wherever it is. None of its methods blocks; `LiveStream` says what they do."""

    @property
    def waiting_s(self) -> float: ...

    def push(self, data: bytes) -> None: ...

    def commit(self, tag: str | None) -> None: ...

    def clear(self) -> None: ...

    def configure(self, options: LiveOptions, tag: str | None) -> None: ...

    def finish(self) -> None: ...

    def close(self, error: Exception | None = None) -> None: ...


class LiveStream:
    """An asynchronous iterator over a session's events. Made in the event loop.

    Its end is the end of the session: by `close`, behind the last turn after `finish`, or with the error that
    ended it.
    """

    def __init__(
        self,
        connect: Callable[[OnEvents, OnEnd], SessionPort],
        *,
        check: Callable[[LiveOptions], None] = lambda options: None,
    ) -> None:
        """connect: opens the session. check: raises InvalidParameter for options that the model cannot follow."""
        self._check = check
        self._loop = asyncio.get_running_loop()
        self._events: deque[LiveEvent] = deque()
        self._error: Exception | None = None
        self._is_ended = False
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()
        self._wants_room = False  # Read in the worker's thread: else each piece of audio would wake the loop.
        self._end_callbacks: list[Callable[[], None]] = []
        self._session = connect(self._put, self._finish)

    def push(self, data: bytes) -> None:
        """Add audio in the session's format."""
        self._session.push(data)

    def commit(self, tag: str | None = None) -> None:
        """End the turn. tag: for the event that refuses it."""
        self._session.commit(tag)

    def clear(self) -> None:
        """Drop the audio that is not committed."""
        self._session.clear()

    def configure(self, options: LiveOptions, tag: str | None = None) -> None:
        """Change the options for the audio that follows. Raises InvalidParameter."""
        self._check(options)
        self._session.configure(options, tag)

    def finish(self) -> None:
        """End the session behind its last turn."""
        self._session.finish()

    def close(self, error: Exception | None = None) -> None:
        """End the session now; its passes end within one step. error: raised by the iterator. From any thread."""
        self._session.close(error)

    async def wait_for_room(self, max_waiting_s: float) -> None:
        """Return once no more audio waits than that, or the session has ended."""
        if self._session.waiting_s <= max_waiting_s:
            return
        self._wants_room = True  # Before the next look: what leaves after it, tells.
        try:
            while self._session.waiting_s > max_waiting_s and not self._is_ended:
                self._has_room.clear()
                await self._has_room.wait()
        finally:
            self._wants_room = False

    def add_end_callback(self, callback: Callable[[], None]) -> None:
        """Call `callback` in the event loop when the session has ended, at once if it has."""
        if self._is_ended:
            callback()
        else:
            self._end_callbacks.append(callback)

    def __aiter__(self) -> LiveStream:
        return self

    async def __anext__(self) -> LiveEvent:
        while not self._events and not self._is_ended:
            self._changed.clear()
            await self._changed.wait()
        if self._events:
            return self._events.popleft()
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    def _put(self, events: Sequence[LiveEvent]) -> None:
        """Take what a step of the session has brought, which may be only room."""
        if not events and not self._wants_room:
            return

        def add() -> None:
            self._events.extend(events)
            self._changed.set()
            self._has_room.set()

        self._call(add)

    def _finish(self, error: Exception | None) -> None:
        def end() -> None:
            if self._is_ended:
                return
            self._is_ended, self._error = True, error
            self._changed.set()
            self._has_room.set()
            callbacks, self._end_callbacks = self._end_callbacks, []
            for callback in callbacks:
                callback()

        self._call(end)

    def _call(self, change: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # The loop has been closed: nobody reads the stream any more.
            self._loop.call_soon_threadsafe(change)


def open_session(
    session: LiveSession,
    decoder: Decoder,
    *,
    enqueue: Callable[[SessionActor], None],
    check: Callable[[LiveOptions], None] = lambda options: None,
) -> LiveStream:
    """Return the stream of a session in this process. enqueue: gives it a turn. check: as of LiveStream."""

    def connect(on_events: OnEvents, on_end: OnEnd) -> SessionPort:
        return SessionActor(session, decoder, enqueue=enqueue, on_events=on_events, on_end=on_end)

    return LiveStream(connect, check=check)
