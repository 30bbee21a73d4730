"""What the Realtime API's operations take and return, for the API's description. A WebSocket begins as a GET."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from hf_asr_endpoint.api.described import ADDRESS, BODY_ERRORS, JSON, ApiDescription, Content, Operation
from hf_asr_endpoint.api.field_schemas import schema_of
from hf_asr_endpoint.api.realtime.configuration import SessionConfiguration
from hf_asr_endpoint.api.realtime.paths import PATHS
from hf_asr_endpoint.api.realtime.schema import SecretRequest
from hf_asr_endpoint.api.served_model import ServedModel, ServedModels
from hf_asr_endpoint.errors import InvalidParameter, InvalidRequest, Overloaded, UnknownModel

_MODELS = ServedModels([ServedModel(names=("openai/whisper-base",))])
_EXPIRES_AT_S = 1_790_000_000


class ClientSecret(TypedDict):
    """value: the secret, for the client. expires_at: in seconds since 1970. session: with what it begins."""

    value: str
    expires_at: int
    session: dict[str, Any]


def _example() -> ClientSecret:
    session = SessionConfiguration().render(_MODELS, id="sess_1", expires_at=_EXPIRES_AT_S)
    return ClientSecret(value="ek_1", expires_at=_EXPIRES_AT_S, session=session)


def describe() -> ApiDescription:
    return ApiDescription(
        title="OpenAI Realtime",
        about="Live transcription over a WebSocket. Its messages are in docs/live.md.",
        endpoints=PATHS.endpoints,
        operations={
            "refuse_get": Operation(
                summary="Open a live session",
                about="A WebSocket with the subprotocol `realtime`. Without an upgrade the answer is an error.",
                query={
                    "type": "object",
                    "properties": {
                        "intent": {"const": "transcription", "description": "What the session is for."},
                        "model": {
                            "type": "string",
                            "description": "The model; session.update may give it too.",
                        },
                    },
                },
                status=101,
                answers={},
                errors=(InvalidRequest, InvalidParameter, UnknownModel, Overloaded),
                curl=f"curl '{ADDRESS}/v1/realtime?intent=transcription' --http1.1 -H 'Connection: Upgrade' "
                "-H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' "
                "-H 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='",
            ),
            "create_client_secret": Operation(
                summary="Make a secret with which a page opens sessions",
                about="It opens several sessions until it expires, all with the configuration given here.",
                bodies={JSON: Content(schema=schema_of(SecretRequest))},
                answers={JSON: Content(schema=schema_of(ClientSecret), examples={"secret": _example()})},
                errors=(*BODY_ERRORS, UnknownModel),
                curl=f"curl {ADDRESS}/v1/realtime/client_secrets -H 'Content-Type: application/json' -d '{{}}'",
            ),
            "refuse_beta": None,
            "refuse_calls": None,
        },
    )
