"""What OpenAI's operations take and return, for the description of the API."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

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
    text_answers,
)
from hf_asr_endpoint.api.encoded_audio import ALLOWED
from hf_asr_endpoint.api.example import EXAMPLE
from hf_asr_endpoint.api.field_schemas import Schema, fields_schema, fixed_words, one_of, schema_of, without
from hf_asr_endpoint.api.meanings import MEANINGS
from hf_asr_endpoint.api.openai.answer import render_body
from hf_asr_endpoint.api.openai.bodies import (
    DeltaEvent,
    DoneEvent,
    ErrorBody,
    Json,
    Model,
    ModelList,
    ProgressEvent,
    SegmentEvent,
    VerboseJson,
)
from hf_asr_endpoint.api.openai.fields import LISTS, OBJECTS
from hf_asr_endpoint.api.openai.fixed import fixed_parameters
from hf_asr_endpoint.api.openai.form import FILE
from hf_asr_endpoint.api.openai.models import render_model
from hf_asr_endpoint.api.openai.parameters import parse_parameters
from hf_asr_endpoint.api.openai.paths import PATHS
from hf_asr_endpoint.api.openai.query import API_VERSION
from hf_asr_endpoint.api.openai.request import INPUT_AUDIO
from hf_asr_endpoint.api.openai.schema import Parameters
from hf_asr_endpoint.api.openai.stream import EventWriter
from hf_asr_endpoint.api.responses import Body
from hf_asr_endpoint.api.served_model import OPENAI_ALIAS, ServedModel, ServedModels
from hf_asr_endpoint.api.sse import json_event
from hf_asr_endpoint.errors import InvalidParameter, UnknownModel
from hf_asr_endpoint.subtitles.files import SUBTITLE_FORMATS
from hf_asr_endpoint.subtitles.limits import CueLimits
from hf_asr_endpoint.types import Task

_MODELS = ServedModels([ServedModel(names=("openai/whisper-base",))])
_BASE64: Schema = {"type": "string", "contentEncoding": "base64", "description": f"Allowed: {ALLOWED}."}
_INPUT_AUDIO: Schema = {
    "type": "object",
    "description": "The audio, as OpenRouter's clients send it. Its bytes tell the format.",
    "properties": {"data": _BASE64, "format": {"type": "string", "description": "Such as wav."}},
    "required": ["data"],
    "additionalProperties": False,
}
_API_VERSION: Schema = {"type": "string", "description": "Azure's clients send it. It changes nothing."}


def form_schema(title: str, task: Task, more: Mapping[str, Schema] = MappingProxyType({})) -> Schema:
    """Return the form of a task. more: fields that only one path has."""
    return fields_schema(
        title,
        Parameters,
        before={FILE: AUDIO_FILE, "model": {"type": "string", "description": MEANINGS["model"]}, **more},
        fixed=[words for words in fixed_words(fixed_parameters(task)) if words[0] not in more],
        lists=(*LISTS, *OBJECTS),
        required=[FILE],
    )


def example_body(task: Task = "transcribe", **fields: str) -> Body:
    """Return the answer to a request with these fields."""
    parameters = parse_parameters(fields.items(), task=task, models=_MODELS)
    return render_body(EXAMPLE, parameters, CueLimits())


def _example_events() -> str:
    parameters = parse_parameters([("stream", "true")], task="transcribe", models=_MODELS)
    writer = EventWriter(parameters)
    documents = [event for segment in EXAMPLE.segments for event in writer.segment(segment)]
    return "".join(json_event(document).encode().decode() for document in (*documents, writer.done(EXAMPLE)))


def json_schema(form: Schema, title: str) -> Schema:
    """Return the JSON document that stands for a form."""
    fields = without(form, FILE, title=title)
    audio = {INPUT_AUDIO: _INPUT_AUDIO, FILE: _BASE64, "audio": _BASE64}
    kinds = [{"required": [name]} for name in audio]
    return {**fields, "properties": {**audio, **fields["properties"]}, "oneOf": kinds}


def answers() -> dict[str, Content]:
    """Return the bodies of transcriptions, in each format."""
    return {
        JSON: Content(
            schema=one_of("Transcription", schema_of(Json), schema_of(VerboseJson)),
            examples={name: example_body(response_format=name) for name in ("json", "verbose_json")},
        ),
        **text_answers(**{name: str(example_body(response_format=name)) for name in ("text", *SUBTITLE_FORMATS)}),
    }


def _create(summary: str, about: str, task: Task, path: str) -> Operation:
    form = form_schema(f"{task.capitalize()}Form", task)
    events = one_of("Event", *map(schema_of, (DeltaEvent, SegmentEvent, ProgressEvent, DoneEvent, ErrorBody)))
    stream = Content(schema={"type": "string"}, examples={"stream": _example_events()}, events=events)
    return Operation(
        summary=summary,
        about=about,
        bodies={
            FORM: Content(schema=form),
            JSON: Content(schema=json_schema(form, f"{task.capitalize()}Json")),
        },
        form_in_query=True,
        query={"type": "object", "properties": {API_VERSION: _API_VERSION}},
        answers={**answers(), EVENTS: stream},
        errors=(*AUDIO_ERRORS, UnknownModel),
        curl=f"curl {ADDRESS}{path} -F file=@{SPEECH_FILE} -F model=whisper-1 -F response_format=verbose_json",
        path=path,
    )


def describe() -> ApiDescription:
    """Return the description."""
    model = render_model(OPENAI_ALIAS, created=1_750_000_000, state="ready")
    query: Schema = {"type": "object", "properties": {API_VERSION: _API_VERSION}}
    return ApiDescription(
        title="OpenAI",
        about="OpenAI's audio API. Base URLs with `/v1`, with `/openai/v1`, or without either do as well.",
        endpoints=PATHS.endpoints,
        operations={
            "create_transcription": _create(
                "Transcribe",
                "A form with a file, or JSON with base64. With `stream`, the answer is a stream of events.",
                "transcribe",
                "/v1/audio/transcriptions",
            ),
            "create_translation": _create(
                "Translate into English",
                "It has all fields of transcriptions. A model that is English-only cannot translate.",
                "translate",
                "/v1/audio/translations",
            ),
            "list_models": Operation(
                summary="List models",
                about="A model is listed once under each of its names.",
                query=query,
                answers={
                    JSON: Content(
                        schema=schema_of(ModelList), examples={"models": {"object": "list", "data": [model]}}
                    )
                },
                errors=(InvalidParameter,),
                curl=f"curl {ADDRESS}/v1/models",
            ),
            "retrieve_model": Operation(
                summary="Retrieve a model",
                query=query,
                path_fields={"model": "A name of a model that is served. It may have slashes."},
                answers={JSON: Content(schema=schema_of(Model), examples={"model": model})},
                errors=(InvalidParameter, UnknownModel),
                curl=f"curl {ADDRESS}/v1/models/whisper-1",
            ),
        },
    )
