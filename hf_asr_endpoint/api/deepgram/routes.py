"""`WS /v1/listen`."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket
from typing_extensions import TypedDict

from hf_asr_endpoint.api.deepgram.conversation import ListenConversation
from hf_asr_endpoint.api.deepgram.description import describe
from hf_asr_endpoint.api.deepgram.parameters import parse_query
from hf_asr_endpoint.api.deepgram.paths import PATHS, SOCKET_PATH
from hf_asr_endpoint.api.described import ApiDescription
from hf_asr_endpoint.api.errors import ErrorDetails, ErrorFormat
from hf_asr_endpoint.api.live_websocket import LiveWebSockets
from hf_asr_endpoint.api.outbox import Outbox
from hf_asr_endpoint.api.served_model import ServedModels
from hf_asr_endpoint.errors import InvalidParameter, InvalidRequest, Unauthorized

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

    def __init__(self, sockets: LiveWebSockets, *, models: ServedModels) -> None:
        self._sockets = sockets
        self._models = models

    def routes(self) -> list[BaseRoute]:
        return [*PATHS.routes({"refuse_get": self.refuse_get}), WebSocketRoute(SOCKET_PATH, self.listen)]

    def describe(self) -> ApiDescription:
        return describe()

    async def refuse_get(self, request: Request) -> Response:
        raise InvalidRequest(f"{SOCKET_PATH} speaks WebSocket here; for files, send POST /v1/audio/transcriptions")

    async def listen(self, websocket: WebSocket) -> None:
        """Serve one session."""
        await self._sockets.serve(
            websocket,
            lambda: self._converse(websocket),
            error_format=self.error_format,
            subprotocol=SUBPROTOCOL,
            outbox=Outbox(),
        )

    def _converse(self, websocket: WebSocket) -> ListenConversation:
        parameters = parse_query(websocket.query_params.multi_items(), self._models)
        model = parameters.options.model or self._models.default.id
        self._sockets.check_models([model])
        return ListenConversation(parameters, request_id=websocket.state.request_id, model_name=model)
