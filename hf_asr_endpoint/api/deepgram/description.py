"""What Deepgram's live API takes, for the description of the API. A WebSocket begins as a GET."""

from __future__ import annotations

from hf_asr_endpoint.api.deepgram.parameters import FIXED, REPEATED, Fields
from hf_asr_endpoint.api.deepgram.paths import PATHS, SOCKET_PATH
from hf_asr_endpoint.api.described import ADDRESS, ApiDescription, Operation
from hf_asr_endpoint.api.field_schemas import fields_schema, fixed_words
from hf_asr_endpoint.errors import InvalidParameter, InvalidRequest, Overloaded, UnknownModel

_MEANINGS = {
    "model": "The model. Deepgram's own names mean the default one.",
    "language": "The language that is spoken; absent: it is detected.",
    "encoding": "How samples are written.",
    "sample_rate": "In Hz.",
    "interim_results": "Whether words are sent that may change.",
    "endpointing": "The silence that ends a result.",
    "utterance_end_ms": "The silence after which UtteranceEnd is sent, in milliseconds.",
    "vad_events": "Whether SpeechStarted is sent.",
}
_TERM = {"type": "string", "description": "A word or a name that may be spoken; may be repeated."}


def describe() -> ApiDescription:
    return ApiDescription(
        title="Deepgram",
        about="Deepgram's live API, over a WebSocket. Its messages are in docs/live.md.",
        endpoints=PATHS.endpoints,
        operations={
            "refuse_get": Operation(
                summary="Open a live session, for Deepgram's clients",
                about="A WebSocket. Without an upgrade the answer is an error.",
                query=fields_schema(
                    "ListenQuery",
                    Fields,
                    before=dict.fromkeys(REPEATED, _TERM),
                    fixed=fixed_words(FIXED),
                    meanings=_MEANINGS,
                ),
                status=101,
                answers={},
                errors=(InvalidRequest, InvalidParameter, UnknownModel, Overloaded),
                curl=f"curl '{ADDRESS}{SOCKET_PATH}?encoding=linear16&sample_rate=16000' --http1.1 "
                "-H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' "
                "-H 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='",
            )
        },
    )
