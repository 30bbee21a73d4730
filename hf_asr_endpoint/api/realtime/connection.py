"""One socket: a client's events to a `LiveStream`, its events and errors back, and the socket's end."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from hf_asr_endpoint.api.live_sessions import LiveLimits
from hf_asr_endpoint.api.realtime.configuration import PATH, SessionConfiguration
from hf_asr_endpoint.api.realtime.messages import (
    APPEND,
    CLEAR,
    COMMIT,
    MAX_PLAIN_CHARACTERS,
    ClientEvent,
    RefusedEvent,
    parse_event,
)
from hf_asr_endpoint.api.realtime.outbox import Outbox
from hf_asr_endpoint.api.realtime.rendering import EventRenderer, error_event, make_event
from hf_asr_endpoint.api.served_model import ServedModels
from hf_asr_endpoint.errors import AsrError, InvalidParameter, InvalidRequest
from hf_asr_endpoint.transcription.live.events import Cleared, CommitRefused, Configured
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.live.stream import LiveStream
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import Caller

logger = logging.getLogger(__name__)

SEND_LAST_S = 5.0  # for what waits when the socket is to be closed

NORMAL, GOING_AWAY, POLICY, FAILED = 1000, 1001, 1008, 1011


@dataclass(frozen=True, slots=True)
class Close:
    """How the socket ends. code: None if the client has left."""

    code: int | None
    reason: str = ""


class Connection:
    """An accepted socket. `run` is called once.

    identity: fields of the session object, such as its id. expires_at_s: by the event loop's clock.
    """

    def __init__(
        self,
        websocket: WebSocket,
        *,
        transcriber: Transcriber,
        models: ServedModels,
        limits: LiveLimits,
        configuration: SessionConfiguration,
        caller: Caller,
        identity: dict[str, Any],
    ) -> None:
        loop = asyncio.get_running_loop()
        self._websocket = websocket
        self._transcriber = transcriber
        self._models = models
        self._limits = limits
        self._configuration = configuration
        self._caller = caller
        self._identity = identity
        self._expires_at_s = loop.time() + limits.max_session_s
        self._outbox = Outbox()
        self._renderer = EventRenderer()
        self._end: asyncio.Future[Close] = loop.create_future()
        self._tasks: set[asyncio.Task[Close]] = set()
        self._live: LiveStream | None = None
        self._options: LiveOptions | None = None
        self._updates: deque[SessionConfiguration] = deque()  # that the session has not come to yet
        self.audio_s = 0.0
        """Seconds of audio that have come."""

    async def run(self) -> None:
        """Serve until the client leaves, or the session ends."""
        self._apply(self._configuration)
        self._outbox.put(make_event("session.created", session=self._session()))
        sending = self._start(self._send())
        self._start(self._read())
        try:
            close = await self._end
            self._outbox.close()
            if close.code is not None:
                await asyncio.wait({sending}, timeout=SEND_LAST_S if close.code != POLICY else 0)
                await asyncio.wait_for(self._websocket.close(close.code, close.reason), SEND_LAST_S)
        except (TimeoutError, WebSocketDisconnect, RuntimeError):
            pass  # Nobody reads any more.
        finally:
            for task in self._tasks:
                task.cancel()
            if self._live is not None:
                self._live.close()

    def finish(self) -> None:
        """Have the session end behind its last turn: the server is shutting down."""
        if self._live is None:
            self._settle(Close(GOING_AWAY, "the server is shutting down"))
        else:
            self._live.finish()

    def _start(self, work: Coroutine[Any, Any, Close]) -> asyncio.Task[Close]:
        """Run a part of the connection, whose end is the connection's."""

        def end(task: asyncio.Task[Close]) -> None:
            if task.cancelled():
                return
            error = task.exception()
            if isinstance(error, WebSocketDisconnect):
                self._settle(Close(None))
            elif error is not None:
                if not isinstance(error, AsrError):
                    logger.error("a live session failed", exc_info=error)
                self._outbox.put(error_event(error if isinstance(error, Exception) else Exception()))
                self._settle(Close(FAILED, "the session failed"))
            else:
                self._settle(task.result())

        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(end)
        return task

    def _settle(self, close: Close) -> None:
        if not self._end.done():
            self._end.set_result(close)

    async def _send(self) -> Close:
        while (text := await self._outbox.take()) is not None:
            await self._websocket.send_text(text)
        return Close(NORMAL)

    async def _read(self) -> Close:
        """Take the client's events until it leaves or its time is over."""
        loop = asyncio.get_running_loop()
        while True:
            left_s = self._expires_at_s - loop.time()
            try:
                message = await asyncio.wait_for(
                    self._websocket.receive(), max(min(left_s, self._limits.idle_timeout_s), 0)
                )
            except TimeoutError:
                return await self._expire(is_idle=left_s > self._limits.idle_timeout_s)
            if message["type"] == "websocket.disconnect":
                return Close(None)
            await self._take(message.get("text"))

    async def _expire(self, *, is_idle: bool) -> Close:
        """End the session, because its time is over, behind the turns that it has."""
        if self._live is not None:
            self._live.finish()
            await asyncio.wait({task for task in self._tasks if task.get_name() == "events"}, timeout=SEND_LAST_S)
        limit_s = self._limits.idle_timeout_s if is_idle else self._limits.max_session_s
        what = "there was no event for" if is_idle else "the session has lasted"
        error = InvalidRequest(f"{what} {limit_s:g} s; allowed: {limit_s:g} s; open another session")
        self._outbox.put(error_event(error, code="session_expired"))
        return Close(GOING_AWAY, "session_expired")

    async def _take(self, text: str | None) -> None:
        """Follow one event, or say why not."""
        event_id = None
        try:
            if text is None:
                raise InvalidRequest("the frame is binary; allowed: JSON as text, with audio in base64")
            is_long = len(text) > MAX_PLAIN_CHARACTERS
            event = await asyncio.to_thread(parse_event, text) if is_long else parse_event(text)
            event_id = event.event_id
            await self._follow(event)
        except RefusedEvent as exc:
            self._outbox.put(error_event(exc.error, event_id=exc.event_id))
        except InvalidRequest as exc:
            self._outbox.put(error_event(exc, event_id=event_id))
        self._check_reader()

    async def _follow(self, event: ClientEvent) -> None:
        if event.type == APPEND:
            if event.audio:
                live = await self._opened()
                self._count(event.audio)
                live.push(event.audio)
                await live.wait_for_room(self._limits.max_waiting_audio_s)
        elif event.type == COMMIT:
            if self._live is None:
                self._outbox.put(*self._renderer.render(CommitRefused(buffered_s=0.0, tag=event.event_id)))
            else:
                self._live.commit(event.event_id)
        elif event.type == CLEAR:
            if self._live is None:
                self._outbox.put(*self._renderer.render(Cleared()))
            else:
                self._live.clear()
        elif event.settings is not None:
            latest = self._updates[-1] if self._updates else self._configuration
            await self._update(latest.updated(event.settings))

    async def _update(self, configuration: SessionConfiguration) -> None:
        """Change the session, or raise and leave it as it is."""
        options = configuration.live_options(self._models)
        if self._live is not None and self._options is not None and options.model != self._options.model:
            path = f"{PATH}.transcription.model"
            raise InvalidParameter(
                f"{path} cannot change once there was audio; allowed: the same model", parameter=path
            )
        if self._live is None:
            self._apply(configuration)
            self._outbox.put(make_event("session.updated", session=self._session()))
            return
        self._live.configure(options)
        self._options = options
        self._updates.append(configuration)

    async def _opened(self) -> LiveStream:
        """Return the session, which its first audio opens: until then its model may change."""
        if self._live is None:
            self._options = self._configuration.live_options(self._models)
            self._live = await self._transcriber.live(self._options, self._caller)
            self._start(self._tell(self._live)).set_name("events")
        return self._live

    async def _tell(self, live: LiveStream) -> Close:
        """Send the session's events."""
        async for event in live:
            if isinstance(event, Configured):
                self._apply(self._updates.popleft())
                self._outbox.put(make_event("session.updated", session=self._session()))
            else:
                self._outbox.put(*self._renderer.render(event))
            self._check_reader()
        return Close(GOING_AWAY, "the session has ended")

    def _check_reader(self) -> None:
        if self._outbox.is_full:
            self._settle(Close(POLICY, "events are not read"))

    def _count(self, audio: bytes) -> None:
        assert self._options is not None
        pcm = self._options.audio
        self.audio_s += len(audio) / (pcm.sample_rate * (2 if pcm.encoding == "PCM_16" else 1))

    def _apply(self, configuration: SessionConfiguration) -> None:
        self._configuration = configuration
        self._renderer.include = configuration.include

    def _session(self) -> dict[str, Any]:
        return self._configuration.render(self._models, **self._identity)
