"""What whisper.cpp's operation takes and returns, for the description of the API."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from hf_asr_endpoint.api.described import (
    ADDRESS,
    AUDIO_ERRORS,
    AUDIO_FILE,
    FORM,
    JSON,
    SPEECH_FILE,
    ApiDescription,
    Content,
    Operation,
    text_answers,
)
from hf_asr_endpoint.api.example import EXAMPLE
from hf_asr_endpoint.api.field_schemas import fields_schema, one_of, only_words, schema_of
from hf_asr_endpoint.api.paths import Endpoint
from hf_asr_endpoint.api.responses import Body
from hf_asr_endpoint.api.whispercpp.parameters import parse_parameters
from hf_asr_endpoint.api.whispercpp.render import render_body
from hf_asr_endpoint.api.whispercpp.schema import ALIASES, FILE, ONLY, Parameters
from hf_asr_endpoint.subtitles.files import SUBTITLE_FORMATS
from hf_asr_endpoint.subtitles.limits import CueLimits
from hf_asr_endpoint.types import Task


class Word(TypedDict):
    word: str
    start: NotRequired[float]
    end: NotRequired[float]
    probability: NotRequired[float]


class Segment(TypedDict):
    id: int
    text: str
    start: NotRequired[float]
    end: NotRequired[float]
    words: list[Word]
    tokens: list[int]
    temperature: NotRequired[float]
    avg_logprob: NotRequired[float]
    no_speech_prob: NotRequired[float]


class Json(TypedDict):
    text: str


class VerboseJson(TypedDict):
    """language: its English name."""

    task: Task
    language: NotRequired[str]
    duration: float
    text: str
    segments: list[Segment]
    detected_language: NotRequired[str]
    detected_language_probability: NotRequired[float]
    language_probabilities: NotRequired[dict[str, float]]


def _body(name: str) -> Body:
    return render_body(EXAMPLE, parse_parameters([("response_format", name)]), CueLimits())


def describe(endpoints: tuple[Endpoint, ...]) -> ApiDescription:
    """Return the description."""
    aliases = [(name, f"Means {other}.") for name, other in ALIASES.items()]
    form = fields_schema(
        "Form", Parameters, before={FILE: AUDIO_FILE}, fixed=[*aliases, *only_words(ONLY)], required=[FILE]
    )
    document = Content(
        schema=one_of("Answer", schema_of(Json), schema_of(VerboseJson)),
        examples={name: _body(name) for name in ("json", "verbose_json")},
    )
    return ApiDescription(
        title="whisper.cpp",
        about="The API of whisper.cpp's server.",
        endpoints=endpoints,
        operations={
            "infer": Operation(
                summary="Transcribe",
                form_in_query=True,
                bodies={FORM: Content(schema=form)},
                answers={
                    JSON: document,
                    **text_answers(**{name: str(_body(name)) for name in ("text", *SUBTITLE_FORMATS)}),
                },
                errors=AUDIO_ERRORS,
                curl=f"curl {ADDRESS}/inference -F file=@{SPEECH_FILE} -F response_format=verbose_json",
            )
        },
    )
