"""What whisper-asr-webservice's operations take and return, for the description of the API."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from hf_asr_endpoint.api.asr_webservice.parameters import parse_parameters
from hf_asr_endpoint.api.asr_webservice.render import render_language, render_output
from hf_asr_endpoint.api.asr_webservice.schema import AUDIO_FILE as FILE
from hf_asr_endpoint.api.asr_webservice.schema import DETECTION_FIELDS, ONLY, Parameters
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
from hf_asr_endpoint.api.field_schemas import Schema, fields_schema, only_words, schema_of
from hf_asr_endpoint.api.paths import Endpoint
from hf_asr_endpoint.api.segments import SegmentFields
from hf_asr_endpoint.subtitles.files import SUBTITLE_FORMATS
from hf_asr_endpoint.subtitles.limits import CueLimits

_FORM: Schema = {
    "type": "object",
    "title": "Form",
    "properties": {FILE: AUDIO_FILE},
    "required": [FILE],
    "additionalProperties": False,
}


class Word(TypedDict):
    word: str
    start: float
    end: float
    probability: NotRequired[float]


class Segment(SegmentFields):
    words: NotRequired[list[Word]]


class Document(TypedDict):
    """What output=json is. language: a code."""

    text: str
    segments: list[Segment]
    language: NotRequired[str]


class Language(TypedDict):
    """confidence: 0 to 1."""

    detected_language: str
    language_code: str
    confidence: float


def _output(name: str) -> str:
    return render_output(EXAMPLE, parse_parameters([("output", name)]), CueLimits())


def describe(endpoints: tuple[Endpoint, ...]) -> ApiDescription:
    """Return the description."""
    query = fields_schema("Query", Parameters, fixed=only_words(ONLY))
    detection = {name: query["properties"][name] for name in DETECTION_FIELDS}
    texts = text_answers(
        txt=_output("txt"), json=_output("json"), **{name: _output(name) for name in SUBTITLE_FORMATS}
    )
    examples = {name: example for text in texts.values() for name, example in text.examples.items()}
    document = schema_of(Document)
    definitions = document.pop("$defs")
    return ApiDescription(
        title="whisper-asr-webservice",
        about="What Bazarr and other subtitle tools ask for. The form has the file alone.",
        endpoints=endpoints,
        operations={
            "transcribe": Operation(
                summary="Transcribe",
                about="The answer is a file for downloading, of type text/plain in every format.",
                query=query,
                bodies={FORM: Content(schema=_FORM)},
                answers={
                    "text/plain": Content(
                        schema={
                            "type": "string",
                            "contentMediaType": JSON,
                            "contentSchema": document,
                            "$defs": definitions,
                        },
                        examples=examples,
                    )
                },
                errors=AUDIO_ERRORS,
                curl=f'curl "{ADDRESS}/asr?output=srt" -F audio_file=@{SPEECH_FILE}',
            ),
            "detect_language": Operation(
                summary="Detect the language",
                query={"type": "object", "properties": detection},
                bodies={FORM: Content(schema=_FORM)},
                answers={
                    JSON: Content(schema=schema_of(Language), examples={"language": render_language(EXAMPLE)})
                },
                errors=AUDIO_ERRORS,
                curl=f"curl {ADDRESS}/detect-language -F audio_file=@{SPEECH_FILE}",
            ),
        },
    )
