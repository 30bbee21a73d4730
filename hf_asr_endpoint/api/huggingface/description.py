"""What the task takes and returns, for the description of the API."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from hf_asr_endpoint.api.described import (
    ADDRESS,
    AUDIO_ERRORS,
    JSON,
    SPEECH_FILE,
    ApiDescription,
    Content,
    Operation,
)
from hf_asr_endpoint.api.encoded_audio import ALLOWED
from hf_asr_endpoint.api.example import EXAMPLE
from hf_asr_endpoint.api.field_schemas import Schema, fields_schema, fixed_words, schema_of, without
from hf_asr_endpoint.api.huggingface.fixed import FIXED
from hf_asr_endpoint.api.huggingface.inputs import RATE_KEY
from hf_asr_endpoint.api.huggingface.parameters import GENERATION_ALIAS, GENERATION_KEY
from hf_asr_endpoint.api.huggingface.render import render_transcription
from hf_asr_endpoint.api.huggingface.request import AUDIO_KEY, OPTIONS
from hf_asr_endpoint.api.huggingface.schema import GenerationParameters, Parameters
from hf_asr_endpoint.api.json_body import SAMPLES_KEY
from hf_asr_endpoint.api.paths import Endpoint
from hf_asr_endpoint.api.sample_array import ALLOWED_SAMPLES
from hf_asr_endpoint.audio.resample import MAX_SAMPLE_RATE
from hf_asr_endpoint.errors import UnknownModel

_FILE: Schema = {"type": "string", "format": "binary", "description": "The audio file itself, in any format."}


class Chunk(TypedDict):
    """timestamp: start and end, in seconds."""

    text: str
    timestamp: tuple[float, float]


class Answer(TypedDict):
    text: str
    chunks: NotRequired[list[Chunk]]


def _parameters() -> Schema:
    """Return all parameters on one level, as a query string and pipelines have them."""
    return fields_schema("Parameters", Parameters, GenerationParameters, fixed=fixed_words(FIXED))


def _document() -> Schema:
    flat = _parameters()
    properties = flat["properties"]
    parameters = {**flat, "properties": {**properties, GENERATION_ALIAS: properties[GENERATION_KEY]}}
    definitions = parameters.pop("$defs", {})
    samples: Schema = {
        "type": "object",
        "description": f"Samples. Allowed: {ALLOWED_SAMPLES}.",
        "properties": {
            SAMPLES_KEY: {
                "type": "array",
                "items": {"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}]},
            },
            RATE_KEY: {"type": "integer", "minimum": 1, "maximum": MAX_SAMPLE_RATE, "description": "In Hz."},
        },
        "required": [SAMPLES_KEY, RATE_KEY],
        "additionalProperties": False,
    }
    base64: Schema = {"type": "string", "contentEncoding": "base64", "description": f"Allowed: {ALLOWED}."}
    options = {name: {"description": words} for name, words in fixed_words(OPTIONS)}
    return {
        "type": "object",
        "title": "Request",
        "properties": {
            AUDIO_KEY: {"anyOf": [base64, samples], "description": "The audio."},
            "parameters": {"anyOf": [parameters, {"type": "null"}], "description": "How to transcribe it."},
            "options": {
                "anyOf": [
                    {"type": "object", "properties": options, "additionalProperties": False},
                    {"type": "null"},
                ],
                "description": "What older clients send. It changes nothing.",
            },
        },
        "required": [AUDIO_KEY],
        "additionalProperties": False,
        "$defs": definitions,
    }


def describe(endpoints: tuple[Endpoint, ...]) -> ApiDescription:
    """Return the description."""
    examples = {
        "text": render_transcription(EXAMPLE, return_timestamps=False),
        "return_timestamps": render_transcription(EXAMPLE, return_timestamps=True),
        "words": render_transcription(EXAMPLE, return_timestamps="word"),
    }
    return ApiDescription(
        title="Hugging Face",
        about="The speech-recognition task of the Inference API and of Inference Endpoints.",
        endpoints=endpoints,
        operations={
            "transcribe": Operation(
                summary="Transcribe",
                about="The body is the audio file, with parameters in the query string, or JSON. "
                "Numbers and switches may be texts.",
                query=without(_parameters(), GENERATION_KEY, title="Query"),
                bodies={
                    "audio/*": Content(schema=_FILE),
                    "application/octet-stream": Content(schema=_FILE),
                    JSON: Content(
                        schema=_document(),
                        examples={
                            "base64": {AUDIO_KEY: "UklGRiQAAABXQVZF…", "parameters": {"return_timestamps": True}}
                        },
                    ),
                },
                answers={JSON: Content(schema=schema_of(Answer), examples=examples)},
                errors=(*AUDIO_ERRORS, UnknownModel),
                curl=f'curl "{ADDRESS}/?return_timestamps=true&language=en" --data-binary @{SPEECH_FILE}',
                path="/",
            )
        },
    )
