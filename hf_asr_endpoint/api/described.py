"""What a dialect says of its operations. `api/description` writes the OpenAPI document from it.

It knows neither paths' handlers nor OpenAPI; schemas come from `field_schemas.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hf_asr_endpoint.api.field_schemas import Schema
from hf_asr_endpoint.api.paths import Endpoint
from hf_asr_endpoint.api.responses import TEXT
from hf_asr_endpoint.api.subtitles import MEDIA_TYPES
from hf_asr_endpoint.errors import (
    AsrError,
    AudioTooLong,
    BodyTooLarge,
    EngineError,
    EngineUnavailable,
    InvalidAudio,
    InvalidParameter,
    InvalidRequest,
    ModelNotLoaded,
    Overloaded,
    StorageFailed,
    UnsupportedAudio,
    UnsupportedEncoding,
    UploadTimeout,
    WorkTimeout,
)

BODY_ERRORS: tuple[type[AsrError], ...] = (
    InvalidRequest,
    InvalidParameter,
    UploadTimeout,
    BodyTooLarge,
    UnsupportedEncoding,
    Overloaded,
    StorageFailed,
)
"""Of every operation that receives a body."""

AUDIO_ERRORS: tuple[type[AsrError], ...] = (
    *BODY_ERRORS,
    InvalidAudio,
    UnsupportedAudio,
    AudioTooLong,
    EngineError,
    EngineUnavailable,
    ModelNotLoaded,
    WorkTimeout,
)
"""Of every operation that transcribes."""

JSON, FORM, EVENTS = "application/json", "multipart/form-data", "text/event-stream"
ADDRESS = "http://localhost:8000"
"""Where commands ask. Readers put their server's address in its place."""

SPEECH_FILE = "speech.mp3"
"""The recording in commands."""

TEXT_SCHEMA: Schema = {"type": "string"}
AUDIO_FILE: Schema = {"type": "string", "format": "binary", "description": "The audio, in any format."}


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A body of a request or of a response.

    examples: by their names, made by the code that renders such bodies. events: of a stream, what one event's data
    may be.
    """

    schema: Schema
    examples: Mapping[str, Any] = field(default_factory=dict)
    events: Schema | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What an operation takes and returns.

    summary: a few words. about: sentences. answers: by media type, with `status`; other_answers: bodies of
    further statuses that are no errors. bodies: of the request, by media type. query: an object whose properties
    are fields of the query string. form_in_query: whether the fields of the form, without its file, may be there
    as well. path_fields: what the parameters of the path are. errors: that it may raise. curl: a command, with
    ADDRESS and SPEECH_FILE. path: which of its paths is the main one; by default the first.
    """

    summary: str
    about: str = ""
    answers: Mapping[str, Content]
    status: int = 200
    other_answers: Mapping[int, Mapping[str, Content]] = field(default_factory=dict)
    bodies: Mapping[str, Content] = field(default_factory=dict)
    query: Schema | None = None
    form_in_query: bool = False
    path_fields: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[type[AsrError], ...] = ()
    curl: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiDescription:
    """All operations of a dialect, by the names that its endpoints have for them.

    None: a path that is there for the sake of a message only. title: for people, and short. about: sentences.
    webhooks: requests that the server sends, by their names; their bodies are what it sends.
    """

    title: str
    about: str
    endpoints: tuple[Endpoint, ...]
    operations: Mapping[str, Operation | None]
    webhooks: Mapping[str, Operation] = field(default_factory=dict)


def text_answers(**examples: str) -> dict[str, Content]:
    """Return the bodies of text formats by their media types. examples: by the names of the formats."""
    found: dict[str, dict[str, str]] = {}
    for name, example in examples.items():
        media_type = MEDIA_TYPES.get(name, TEXT).partition(";")[0]
        found.setdefault(media_type, {})[name] = example
    return {media_type: Content(schema=TEXT_SCHEMA, examples=texts) for media_type, texts in found.items()}
