"""What Mistral's operation takes and returns, for the description of the API."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from hf_asr_endpoint.api.described import (
    ADDRESS,
    AUDIO_ERRORS,
    AUDIO_FILE,
    EVENTS,
    FORM,
    JSON,
    SPEECH_FILE,
    ApiDescription,
    Content,
    Operation,
)
from hf_asr_endpoint.api.example import EXAMPLE
from hf_asr_endpoint.api.field_schemas import fields_schema, one_of, only_words, schema_of
from hf_asr_endpoint.api.mistral.errors import ErrorBody
from hf_asr_endpoint.api.mistral.parameters import ParsedParameters, parse_parameters
from hf_asr_endpoint.api.mistral.render import EventWriter, render_body
from hf_asr_endpoint.api.mistral.schema import FILE, LISTS, ONLY, Parameters
from hf_asr_endpoint.api.paths import post
from hf_asr_endpoint.api.served_model import ServedModel, ServedModels
from hf_asr_endpoint.api.sse import json_event
from hf_asr_endpoint.errors import UnknownModel

_MODELS = ServedModels([ServedModel(names=("openai/whisper-base",))])


class Timed(TypedDict):
    text: str
    start: float
    end: float


class Segment(Timed):
    type: Literal["transcription_segment"]


class Usage(TypedDict):
    prompt_audio_seconds: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class MistralAnswer(TypedDict):
    """language: a code. segments: with timestamp_granularities, segments or words."""

    model: str
    text: str
    language: NotRequired[str]
    segments: list[Segment]
    usage: Usage


class LanguageEvent(TypedDict):
    type: Literal["transcription.language"]
    audio_language: str


class DeltaEvent(TypedDict):
    type: Literal["transcription.text.delta"]
    text: str


class SegmentEvent(Timed):
    type: Literal["transcription.segment"]


class DoneEvent(MistralAnswer):
    type: Literal["transcription.done"]


def _parse(**fields: str) -> ParsedParameters:
    return parse_parameters(fields.items(), models=_MODELS)


def _example_events() -> str:
    writer = EventWriter(_parse(stream="true"))
    documents = [event for segment in EXAMPLE.segments for event in writer.segment(segment)]
    return "".join(json_event(document).encode().decode() for document in (*documents, writer.done(EXAMPLE)))


def describe(path: str) -> ApiDescription:
    """Return the description. path: which is OpenAI's as well."""
    form = fields_schema(
        "MistralForm",
        Parameters,
        before={FILE: AUDIO_FILE},
        fixed=only_words(ONLY),
        lists=LISTS,
        required=[FILE],
        meanings={"timestamp_granularities": "Whether segments are segments or words. Absent: there are none."},
    )
    events = one_of(
        "MistralEvent", *map(schema_of, (LanguageEvent, DeltaEvent, SegmentEvent, DoneEvent, ErrorBody))
    )
    return ApiDescription(
        title="Mistral",
        about="Mistral's SDKs ask on OpenAI's path, and are known by their `User-Agent`.",
        endpoints=(post(path, "transcribe"),),
        operations={
            "transcribe": Operation(
                summary="Transcribe, for Mistral's clients",
                about="Clients whose `User-Agent` has `mistral` in it get Mistral's answers, events and errors.",
                bodies={FORM: Content(schema=form)},
                form_in_query=True,
                answers={
                    JSON: Content(
                        schema=schema_of(MistralAnswer),
                        examples={"mistral": render_body(EXAMPLE, _parse(timestamp_granularities="segment"))},
                    ),
                    EVENTS: Content(
                        schema={"type": "string"}, examples={"mistral": _example_events()}, events=events
                    ),
                },
                errors=(*AUDIO_ERRORS, UnknownModel),
                curl=f"curl {ADDRESS}{path} -A mistral-client -F file=@{SPEECH_FILE} "
                "-F timestamp_granularities=segment",
            )
        },
    )
