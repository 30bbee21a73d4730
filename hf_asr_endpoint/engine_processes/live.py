"""A live session between the two processes: its port in the server's, and the task that serves it in the engine's.

The server's process counts audio as waiting until the engine's says that it is taken, which that does as soon as
little waits there. So the session's caller stops reading its client when the engine falls behind.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import closing, suppress
from typing import cast

from hf_asr_endpoint.cancellation import CANCELLED
from hf_asr_endpoint.engine_processes.messages import Call, Cancel, Ended, News, Opened, OpenLive, Taken
from hf_asr_endpoint.errors import EngineUnavailable
from hf_asr_endpoint.processes.blocks import Block
from hf_asr_endpoint.transcription.live.events import LiveEvent
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.live.stream import LiveStream, OnEnd, OnEvents
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import Caller

TAKEN_S = 1.0
"""Audio that may wait in the engine's process and count as taken."""


class RemoteSession:
    """A SessionPort whose session is in an engine's process, and the `Work` of that one."""

    def __init__(self, options: LiveOptions) -> None:
        self.opened: Future[None] = Future()
        """Done once the session is open there, or with the error that it has instead."""
        self.tell: Callable[[Call | Cancel], None] = lambda message: None
        """Tells the session there something. Set once the engine has been told to open it."""
        self._options = options
        self._lock = threading.Lock()
        self._waiting: deque[float] = deque()  # seconds of each audio that is not taken

    def connect(self, on_events: OnEvents, on_end: OnEnd) -> RemoteSession:
        """Take, once, what is to be called with all that comes of the session."""
        self._on_events, self._on_end = on_events, on_end
        return self

    @property
    def waiting_s(self) -> float:
        with self._lock:
            return sum(self._waiting)

    def push(self, data: bytes) -> None:
        with self._lock:
            self._waiting.append(len(data) / self._options.audio.bytes_per_s)
        self.tell(Call("push", (data,)))

    def commit(self, tag: str | None) -> None:
        self.tell(Call("commit", (tag,)))

    def clear(self) -> None:
        self.tell(Call("clear"))

    def configure(self, options: LiveOptions, tag: str | None) -> None:
        self._options = options
        self.tell(Call("configure", (options, tag)))

    def finish(self) -> None:
        self.tell(Call("finish"))

    def close(self, error: Exception | None = None) -> None:
        self.tell(Cancel())
        self._on_end(error)

    def take(self, news: News) -> None:
        """Take what the engine's process tells of the session. From any thread."""
        match news:
            case Opened():
                with suppress(InvalidStateError):  # Its end has been told first, by whoever closes the engine.
                    self.opened.set_result(None)
            case Taken():
                with self._lock:
                    self._waiting.popleft()
                self._on_events(())
            case Ended(error=error):
                try:
                    self.opened.set_exception(error or EngineUnavailable(CANCELLED))
                except InvalidStateError:  # It is open.
                    self._on_end(error)
            case _:
                self._on_events((cast(LiveEvent, news),))

    def read(self, index: int) -> Block:
        return Block(None, "a live session has no file")


class ServedSession:
    """An open session in the engine's process."""

    def __init__(self, stream: LiveStream) -> None:
        self._stream = stream
        self._pushed = asyncio.Semaphore(0)

    def call(self, call: Call) -> None:
        """Do what the session's port was told to do."""
        getattr(self._stream, call.method)(*call.arguments)
        if call.method == "push":
            self._pushed.release()

    async def tell_taken(self, tell: Callable[[], None]) -> None:
        """Call `tell` for each push once little audio waits, until this task is cancelled."""
        while True:
            await self._pushed.acquire()
            await self._stream.wait_for_room(TAKEN_S)
            tell()


async def serve_session(
    transcriber: Transcriber,
    order: OpenLive,
    tell: Callable[[News], None],
    keep: Callable[[ServedSession], None],
) -> None:
    """Open a session, and tell all that comes of it but its end. keep: takes it once it is open.

    Raises what `live` and the session raise. Cancelled, it ends the session.
    """
    with closing(await transcriber.live(order.options, Caller(owner=order.owner))) as stream:
        session = ServedSession(stream)
        keep(session)
        tell(Opened())
        telling = asyncio.ensure_future(session.tell_taken(lambda: tell(Taken())))
        try:
            async for event in stream:
                tell(event)
        finally:
            telling.cancel()
