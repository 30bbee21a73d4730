"""A session of the Realtime API: a client's events to a `LiveStream`, its events and errors back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from hf_asr_endpoint.api.live_socket import LiveSocket
from hf_asr_endpoint.api.outbox import Event
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
from hf_asr_endpoint.api.realtime.rendering import EventRenderer, error_event, make_event
from hf_asr_endpoint.api.served_model import ServedModels
from hf_asr_endpoint.errors import AsrError, InvalidParameter, InvalidRequest
from hf_asr_endpoint.transcription.live.events import Cleared, CommitRefused, Configured, LiveEvent
from hf_asr_endpoint.transcription.live.options import LiveOptions


class RealtimeConversation:
    """A `Conversation`."""

    _socket: LiveSocket[str | bytes]

    def __init__(
        self,
        configuration: SessionConfiguration,
        *,
        models: ServedModels,
        identity: dict[str, Any],
        make_options: Callable[[SessionConfiguration], LiveOptions],
    ) -> None:
        """identity: fields of the session object, such as its id. make_options: raises AsrError."""
        self._configuration = configuration
        self._make_options = make_options
        self._options = make_options(configuration)  # of the latest configuration
        self._models = models
        self._identity = identity
        self._renderer = EventRenderer()
        self._updates: deque[SessionConfiguration] = deque()  # that the session has not come to yet

    def begin(self, socket: LiveSocket[str | bytes]) -> None:
        self._socket = socket
        self._apply(self._configuration)
        self._socket.send(make_event("session.created", session=self._session()))

    async def take(self, message: str | bytes) -> None:
        event_id = None
        try:
            if isinstance(message, bytes):
                raise InvalidRequest("the frame is binary; allowed: JSON as text, with audio in base64")
            is_long = len(message) > MAX_PLAIN_CHARACTERS
            event = await asyncio.to_thread(parse_event, message) if is_long else parse_event(message)
            event_id = event.event_id
            await self._follow(event)
        except RefusedEvent as exc:
            self._socket.send(error_event(exc.error, event_id=exc.event_id))
        except InvalidRequest as exc:
            self._socket.send(error_event(exc, event_id=event_id))

    def tell(self, event: LiveEvent) -> None:
        if isinstance(event, Configured):
            self._apply(self._updates.popleft())
            self._socket.send(make_event("session.updated", session=self._session()))
        else:
            self._socket.send(*self._renderer.render(event))

    def end(self, error: AsrError | None, *, is_expired: bool) -> None:
        if error is not None:
            self._socket.send(error_event(error, code="session_expired" if is_expired else None))

    async def _follow(self, event: ClientEvent) -> None:
        live = self._socket.live
        if event.type == APPEND:
            if event.audio:
                await self._socket.push(event.audio, self._options)
        elif event.type == COMMIT:
            if live is None:
                self._send_rendered(CommitRefused(buffered_s=0.0, tag=event.event_id))
            else:
                live.commit(event.event_id)
        elif event.type == CLEAR:
            if live is None:
                self._send_rendered(Cleared())
            else:
                live.clear()
        elif event.settings is not None:
            latest = self._updates[-1] if self._updates else self._configuration
            self._update(latest.updated(event.settings))

    def _update(self, configuration: SessionConfiguration) -> None:
        """Change the session, or raise and leave it as it is."""
        options = self._make_options(configuration)
        live = self._socket.live
        if live is None:  # Its first audio opens the session: until then its model may change.
            self._options = options
            self._apply(configuration)
            self._socket.send(make_event("session.updated", session=self._session()))
            return
        if options.model != self._options.model:
            path = f"{PATH}.transcription.model"
            raise InvalidParameter(
                f"{path} cannot change once there was audio; allowed: the same model", parameter=path
            )
        live.configure(options)
        self._options = options
        self._updates.append(configuration)

    def _send_rendered(self, event: LiveEvent) -> None:
        self._socket.send(*self._renderer.render(event))

    def _apply(self, configuration: SessionConfiguration) -> None:
        self._configuration = configuration
        self._renderer.include = configuration.include

    def _session(self) -> Event:
        return self._configuration.render(self._models, **self._identity)
