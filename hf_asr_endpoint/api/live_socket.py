"""One connection of a live session, whatever it speaks and over what: its tasks, its times, and its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from hf_asr_endpoint.api.live_sessions import LiveLimits
from hf_asr_endpoint.api.outbox import Event, Outbox
from hf_asr_endpoint.errors import AsrError, InternalError
from hf_asr_endpoint.transcription.live.events import LiveEvent
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.live.stream import LiveStream
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import Caller

logger = logging.getLogger(__name__)

SEND_LAST_S = 5.0  # for what waits when the socket is to be closed

NORMAL, GOING_AWAY, POLICY, FAILED = 1000, 1001, 1008, 1011
"""WebSocket's codes (RFC 6455, section 7.4.1), for other wires as well."""

M = TypeVar("M")
Given = TypeVar("Given", contravariant=True)
Taken = TypeVar("Taken", covariant=True)


@dataclass(frozen=True, slots=True)
class Close:
    """How the socket ends. code: None if the client has left."""

    code: int | None
    reason: str = ""


class Wire(Protocol[Taken]):
    """What carries messages. Both ways raise ConnectionError once the client has left."""

    async def receive(self) -> Taken | None:
        """Return the client's next message; None if it has left. Raises AsrError for what is no message."""
        ...

    async def send(self, event: Event) -> None: ...

    async def close(self, close: Close) -> None: ...


class Conversation(Protocol[Given]):
    """A dialect's part. All events are JSON objects."""

    def begin(self, socket: LiveSocket[Any]) -> None:
        """Keep the socket, and send the first events."""
        ...

    async def take(self, message: Given) -> None:
        """Follow one message, or say why not. What it raises ends the session."""
        ...

    def tell(self, event: LiveEvent) -> None:
        """Send what an event of the session comes to."""
        ...

    def end(self, error: AsrError | None, *, is_expired: bool) -> None:
        """Send the last events. error: that ended the session, or its time that is over."""
        ...


class LiveSocket(Generic[M]):
    """Runs a conversation. `run` is called once."""

    def __init__(
        self,
        wire: Wire[M],
        conversation: Conversation[M],
        *,
        transcriber: Transcriber,
        limits: LiveLimits,
        caller: Caller,
        outbox: Outbox,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._wire = wire
        self._conversation = conversation
        self._transcriber = transcriber
        self._limits = limits
        self._caller = caller
        self._outbox = outbox
        self._expires_at_s = loop.time() + limits.max_session_s
        self._idle_since_s: float | None = None
        """Since when the next message is awaited; None while one is followed."""
        self._end: asyncio.Future[Close] = loop.create_future()
        self._tasks: set[asyncio.Task[Close]] = set()
        self._telling: asyncio.Task[Close] | None = None
        self._ends_by_itself = False
        self.live: LiveStream | None = None
        """The session, once its first audio has opened it."""
        self.audio_s = 0.0
        """Seconds of audio that have come."""

    async def run(self) -> None:
        """Serve until the client leaves, or the session ends."""
        self._conversation.begin(self)
        sending, reading = self._start(self._send()), self._start(self._read())
        self._start(self._keep_time(reading))
        try:
            close = await self._end
            self._outbox.close()
            others = self._tasks - {sending}
            for task in others:
                task.cancel()
            await asyncio.wait(others, timeout=SEND_LAST_S)  # The wire has one reader at a time.
            if close.code is not None:
                await asyncio.wait({sending}, timeout=SEND_LAST_S if close.code != POLICY else 0)
                await asyncio.wait_for(self._wire.close(close), SEND_LAST_S)
        except (TimeoutError, ConnectionError):
            pass  # Nobody reads any more.
        finally:
            for task in self._tasks:
                task.cancel()
            if self.live is not None:
                self.live.close()

    def send(self, *events: Event) -> None:
        """Queue events."""
        self._outbox.put(*events)
        if self._outbox.is_full:
            self.close(Close(POLICY, "events are not read"))

    def close(self, close: Close) -> None:
        """End the socket. The first call counts."""
        if not self._end.done():
            self._end.set_result(close)

    def finish(self) -> None:
        """Have the session end behind its last turn: the server is shutting down."""
        if self.live is None:
            self.close(Close(GOING_AWAY, "the server is shutting down"))
        else:
            self.live.finish()

    async def push(self, audio: bytes, options: LiveOptions) -> None:
        """Add audio, and wait as long as too much of it waits. options: of a session that is not open yet."""
        if self.live is None:
            self.live = await self._transcriber.live(options, self._caller)
            self._telling = self._start(self._tell(self.live))
        self.audio_s += len(audio) / options.audio.bytes_per_s
        self.live.push(audio)
        await self.live.wait_for_room(self._limits.max_waiting_audio_s)

    async def finish_turns(self) -> None:
        """End the session behind its last turn, and wait for that. The caller closes the socket."""
        self._ends_by_itself = True
        if self.live is not None and self._telling is not None:
            self.live.finish()
            await asyncio.wait({self._telling})

    def _start(self, work: Coroutine[Any, Any, Close]) -> asyncio.Task[Close]:
        """Run a part of the socket, whose end is the socket's."""

        def end(task: asyncio.Task[Close]) -> None:
            if task.cancelled():
                return
            error = task.exception()
            if isinstance(error, ConnectionError):
                self.close(Close(None))
            elif error is not None:
                if not isinstance(error, AsrError):
                    logger.error("a live session failed", exc_info=error)
                    error = InternalError("the server failed; its log has the details")
                self._conversation.end(error, is_expired=False)
                self.close(Close(FAILED, "the session failed"))
            elif not (self._ends_by_itself and task is self._telling):
                self.close(task.result())

        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(end)
        return task

    async def _send(self) -> Close:
        while (event := await self._outbox.take()) is not None:
            await self._wire.send(event)
        return Close(NORMAL)

    async def _read(self) -> Close:
        """Take the client's messages until it leaves."""
        now_s = asyncio.get_running_loop().time
        while True:
            self._idle_since_s = now_s()
            message = await self._wire.receive()
            self._idle_since_s = None
            if message is None:
                return Close(None)
            await self._conversation.take(message)

    async def _keep_time(self, reading: asyncio.Task[Close]) -> Close:
        """End the session when its time is over, behind the turns that it has.

        One clock for the whole session: a timeout around each message would cost as much as reading it.
        """
        while (left_s := self._left_s()) > 0:
            await asyncio.sleep(left_s)
        is_idle = self._expires_at_s > asyncio.get_running_loop().time()
        reading.cancel()
        with_time = asyncio.wait_for(self.finish_turns(), SEND_LAST_S)
        await asyncio.gather(with_time, return_exceptions=True)
        limit_s = self._limits.idle_timeout_s if is_idle else self._limits.max_session_s
        what = "there was no message for" if is_idle else "the session has lasted"
        error = SessionExpired(f"{what} {limit_s:g} s; allowed: {limit_s:g} s; open another session")
        self._conversation.end(error, is_expired=True)
        return Close(GOING_AWAY, "session_expired")

    def _left_s(self) -> float:
        """Return the seconds until the session has had its time, unless another message comes."""
        now_s = asyncio.get_running_loop().time()
        idle_since_s = now_s if self._idle_since_s is None else self._idle_since_s
        return min(self._expires_at_s, idle_since_s + self._limits.idle_timeout_s) - now_s

    async def _tell(self, live: LiveStream) -> Close:
        """Pass on the session's events."""
        async for event in live:
            self._conversation.tell(event)
        return Close(GOING_AWAY, "the session has ended")


class SessionExpired(AsrError):
    """A session has had its time."""
