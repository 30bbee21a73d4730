"""`WS /v1/realtime` and `POST /v1/realtime/client_secrets`."""

from __future__ import annotations

import json
import time

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from hf_asr_endpoint.api.access import secrets_in
from hf_asr_endpoint.api.admission import Admission
from hf_asr_endpoint.api.api_keys import ApiKey
from hf_asr_endpoint.api.described import ApiDescription
from hf_asr_endpoint.api.live_websocket import LiveWebSockets
from hf_asr_endpoint.api.openai.errors import make_error_format
from hf_asr_endpoint.api.outbox import Outbox
from hf_asr_endpoint.api.realtime.configuration import SessionConfiguration
from hf_asr_endpoint.api.realtime.conversation import RealtimeConversation
from hf_asr_endpoint.api.realtime.description import describe
from hf_asr_endpoint.api.realtime.messages import BetaShape
from hf_asr_endpoint.api.realtime.paths import PATHS, SOCKET_PATHS
from hf_asr_endpoint.api.realtime.rendering import join_deltas, new_id
from hf_asr_endpoint.api.realtime.schema import SecretRequest
from hf_asr_endpoint.api.realtime.secrets import PREFIX, ClientSecrets
from hf_asr_endpoint.api.realtime.validation import validate
from hf_asr_endpoint.api.served_model import ServedModels
from hf_asr_endpoint.errors import (
    InvalidParameter,
    InvalidRequest,
    Unauthorized,
    UnsupportedParameter,
)
from hf_asr_endpoint.messages import show_value
from hf_asr_endpoint.transcription.live.options import LiveOptions

SUBPROTOCOL = "realtime"
INTENT = "transcription"
MAX_BODY_BYTES = 64 * 2**10


class RealtimeDialect:
    """Serves the API."""

    paths = PATHS
    error_format = make_error_format(max_audio_bytes=MAX_BODY_BYTES)

    def __init__(
        self, sockets: LiveWebSockets, admission: Admission, *, models: ServedModels, secrets: ClientSecrets
    ) -> None:
        self._admission = admission
        self._sockets = sockets
        self._models = models
        self._secrets = secrets

    def routes(self) -> list[BaseRoute]:
        handlers = {
            "refuse_get": self.refuse_get,
            "create_client_secret": self.create_client_secret,
            "refuse_beta": self.refuse_beta,
            "refuse_calls": self.refuse_calls,
        }
        return [*PATHS.routes(handlers), *(WebSocketRoute(path, self.connect) for path in SOCKET_PATHS)]

    def describe(self) -> ApiDescription:
        return describe()

    async def connect(self, websocket: WebSocket) -> None:
        """Serve one session."""
        await self._sockets.serve(
            websocket,
            lambda: self._converse(websocket),
            error_format=self.error_format,
            subprotocol=SUBPROTOCOL,
            outbox=Outbox(join_deltas),
        )

    async def create_client_secret(self, request: Request) -> Response:
        body = _read_json(await self._admission.receive_small(request, max_bytes=MAX_BODY_BYTES))
        wanted = validate(SecretRequest, body, name="")
        configuration = SessionConfiguration()
        if wanted.session is not None:
            configuration = configuration.updated(wanted.session)
        self._options(configuration)
        key: ApiKey | None = getattr(request.state, "key", None)
        value, made = self._secrets.create(configuration, lifetime_s=wanted.expires_after.seconds, key=key)
        session = configuration.render(self._models, id=new_id("sess"), expires_at=made.expires_at)
        return JSONResponse({"value": value, "expires_at": made.expires_at, "session": session})

    async def refuse_get(self, request: Request) -> Response:
        """Say why there would be no session, for browsers: their sockets do not show a refusal."""
        self._sockets.check(request)
        self._configuration(request)
        raise InvalidRequest(
            f"{request.url.path} speaks WebSocket; allowed: a request with Connection: Upgrade, as clients of "
            "OpenAI's Realtime API send it"
        )

    async def refuse_beta(self, request: Request) -> Response:
        raise BetaShape(
            "sessions of the beta API are off, as at OpenAI; allowed: POST /v1/realtime/client_secrets"
        )

    async def refuse_calls(self, request: Request) -> Response:
        raise UnsupportedParameter("WebRTC is not supported here; allowed: a WebSocket at /v1/realtime")

    def _converse(self, websocket: WebSocket) -> RealtimeConversation:
        identity = {"id": new_id("sess"), "expires_at": int(time.time() + self._sockets.limits.max_session_s)}
        return RealtimeConversation(
            self._configuration(websocket), models=self._models, identity=identity, make_options=self._options
        )

    def _configuration(self, handshake: HTTPConnection) -> SessionConfiguration:
        """Return what the session begins with. Raises AsrError."""
        configuration = SessionConfiguration()
        for secret in secrets_in(handshake.headers):
            if secret.startswith(PREFIX):
                found = self._secrets.find(secret)
                if found is None:
                    raise Unauthorized("the client secret is not one that this server knows, or has expired")
                configuration = found.configuration
        query = handshake.query_params
        if (intent := query.get("intent", INTENT)) != INTENT:
            raise InvalidParameter(f"intent is {show_value(intent)}; allowed: {INTENT}", parameter="intent")
        if "call_id" in query:
            raise UnsupportedParameter("call_id is of WebRTC, which is not supported here", parameter="call_id")
        if model := query.get("model"):
            configuration = configuration.with_model(model)
        self._options(configuration)
        return configuration

    def _options(self, configuration: SessionConfiguration) -> LiveOptions:
        """Return a session's options. Raises AsrError for a model or a language that there is not, or a model
        without live sessions."""
        options = configuration.live_options(self._models)
        self._sockets.check_models(configuration.possible_models(self._models))
        return options


def _read_json(body: bytes) -> object:
    try:
        return json.loads(body or b"{}")
    except (ValueError, RecursionError) as exc:
        raise InvalidRequest(f"the body is not valid JSON ({exc}); allowed: a JSON object") from exc
