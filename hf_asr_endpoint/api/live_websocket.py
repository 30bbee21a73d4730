"""WebSockets of live sessions: the handshake, which is alike in all dialects, and what carries their messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket, WebSocketDisconnect

from hf_asr_endpoint.api.access import key_owner
from hf_asr_endpoint.api.errors import ErrorFormat, error_response
from hf_asr_endpoint.api.live_handshake import check_handshake, check_models
from hf_asr_endpoint.api.live_sessions import LiveLimits, LiveSessions
from hf_asr_endpoint.api.live_socket import Close, Conversation, LiveSocket
from hf_asr_endpoint.api.outbox import Event, Outbox
from hf_asr_endpoint.errors import AsrError
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import Caller


class LiveWebSockets:
    """Opens live sessions for the dialects that speak WebSocket."""

    def __init__(
        self, transcriber: Transcriber, sessions: LiveSessions, *, allows_pages: Sequence[str] | None
    ) -> None:
        """allows_pages: as for `check_handshake`."""
        self._transcriber = transcriber
        self._sessions = sessions
        self._allows_pages = allows_pages

    @property
    def limits(self) -> LiveLimits:
        return self._sessions.limits

    def check(self, handshake: HTTPConnection) -> None:
        """Raise what refuses every session now: AsrError, as `check_handshake` and `LiveSessions.check` do."""
        check_handshake(handshake, self._transcriber, allows_pages=self._allows_pages)
        self._sessions.check()

    def check_models(self, models: Iterable[str]) -> None:
        """Raise UnsupportedParameter if none of the models, given by their ids, has live sessions."""
        check_models(self._transcriber, models)

    async def serve(
        self,
        websocket: WebSocket,
        converse: Callable[[], Conversation[str | bytes]],
        *,
        error_format: ErrorFormat,
        subprotocol: str,
        outbox: Outbox,
    ) -> None:
        """Serve one session. What is wrong before it begins is a response to the handshake.

        converse: reads the handshake; raises AsrError. subprotocol: is accepted if it is offered.
        """
        try:
            self.check(websocket)
            conversation = converse()
        except AsrError as exc:
            await error_response(exc, error_format)(websocket.scope, websocket.receive, websocket.send)
            return
        offered = websocket.scope.get("subprotocols", ())
        await websocket.accept(subprotocol=subprotocol if subprotocol in offered else None)
        socket = LiveSocket[str | bytes](
            WebSocketWire(websocket),
            conversation,
            transcriber=self._transcriber,
            limits=self.limits,
            caller=Caller(owner=key_owner(websocket)),
            outbox=outbox,
        )
        try:
            with self._sessions.open(socket.finish):
                await socket.run()
        finally:
            websocket.state.audio_s = socket.audio_s


class WebSocketWire:
    """A `Wire`. Events are JSON as text."""

    def __init__(self, websocket: WebSocket) -> None:
        """websocket: that has been accepted."""
        self._websocket = websocket

    async def receive(self) -> str | bytes | None:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            return None
        text: str | None = message.get("text")
        data: bytes = message.get("bytes") or b""
        return data if text is None else text

    async def send(self, event: Event) -> None:
        try:
            await self._websocket.send_text(json.dumps(event, ensure_ascii=False))
        except WebSocketDisconnect as exc:
            raise ConnectionResetError("the client has left") from exc

    async def close(self, close: Close) -> None:
        try:
            await self._websocket.close(close.code or 0, close.reason)
        except (WebSocketDisconnect, RuntimeError) as exc:
            raise ConnectionResetError("the client has left") from exc
