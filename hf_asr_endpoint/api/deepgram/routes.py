"""`WS /v1/listen`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket
from typing_extensions import TypedDict

from hf_asr_endpoint.api.access import key_owner
from hf_asr_endpoint.api.deepgram.conversation import ListenConversation
from hf_asr_endpoint.api.deepgram.description import describe
from hf_asr_endpoint.api.deepgram.parameters import parse_query
from hf_asr_endpoint.api.deepgram.paths import PATHS, SOCKET_PATH
from hf_asr_endpoint.api.described import ApiDescription
from hf_asr_endpoint.api.errors import ErrorDetails, ErrorFormat, error_response
from hf_asr_endpoint.api.live_handshake import check_handshake
from hf_asr_endpoint.api.live_sessions import LiveSessions
from hf_asr_endpoint.api.live_socket import LiveSocket
from hf_asr_endpoint.api.outbox import Outbox
from hf_asr_endpoint.api.served_model import ServedModels
from hf_asr_endpoint.errors import AsrError, InvalidParameter, InvalidRequest, Unauthorized
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import Caller

SUBPROTOCOL = "token"


class ErrorBody(TypedDict):
    err_code: str
    err_msg: str


def _body(details: ErrorDetails) -> dict[str, Any]:
    code = "INVALID_AUTH" if isinstance(details.error, Unauthorized) else "Bad Request"
    return {"err_code": code, "err_msg": details.message}


class DeepgramDialect:
    """Serves the API."""

    paths = PATHS
    error_format = ErrorFormat(
        body=_body, body_type=ErrorBody, headers=lambda _: {}, statuses={InvalidParameter: 400}
    )

    def __init__(
        self,
        transcriber: Transcriber,
        *,
        models: ServedModels,
        sessions: LiveSessions,
        allows_pages: Sequence[str] | None,
    ) -> None:
        """allows_pages: as for `check_handshake`."""
        self._transcriber = transcriber
        self._models = models
        self._sessions = sessions
        self._allows_pages = allows_pages

    def routes(self) -> list[BaseRoute]:
        return [*PATHS.routes({"refuse_get": self.refuse_get}), WebSocketRoute(SOCKET_PATH, self.listen)]

    def describe(self) -> ApiDescription:
        return describe()

    async def refuse_get(self, request: Request) -> Response:
        raise InvalidRequest(f"{SOCKET_PATH} speaks WebSocket here; for files, send POST /v1/audio/transcriptions")

    async def listen(self, websocket: WebSocket) -> None:
        """Serve one session. What is wrong before it begins is a response to the handshake."""
        try:
            check_handshake(websocket, self._transcriber, allows_pages=self._allows_pages)
            parameters = parse_query(websocket.query_params.multi_items(), self._models)
            self._sessions.check()
        except AsrError as exc:
            await error_response(exc, self.error_format)(websocket.scope, websocket.receive, websocket.send)
            return
        offered = websocket.scope.get("subprotocols", ())
        await websocket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
        conversation = ListenConversation(
            parameters,
            request_id=websocket.state.request_id,
            model_name=parameters.options.model or self._models.default.id,
        )
        socket = LiveSocket(
            websocket,
            conversation,
            transcriber=self._transcriber,
            limits=self._sessions.limits,
            caller=Caller(owner=key_owner(websocket)),
            outbox=Outbox(),
        )
        try:
            with self._sessions.open(socket.finish):
                await socket.run()
        finally:
            websocket.state.audio_s = socket.audio_s
