"""Errors as the document has them: with statuses, bodies and headers from the code that makes the responses."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hf_asr_endpoint.api.described import JSON
from hf_asr_endpoint.api.errors import ErrorFormat, error_response
from hf_asr_endpoint.api.field_schemas import Schema
from hf_asr_endpoint.errors import (
    AsrError,
    AudioTooLong,
    BodyTooLarge,
    EngineError,
    EngineUnavailable,
    InvalidAudio,
    InvalidParameter,
    InvalidRequest,
    JobsUnavailable,
    MethodNotAllowed,
    ModelNotLoaded,
    Overloaded,
    StorageFailed,
    Unauthorized,
    UnknownJob,
    UnknownModel,
    UnsupportedAudio,
    UnsupportedEncoding,
    UploadTimeout,
    WorkTimeout,
)

_EXAMPLES: tuple[AsrError, ...] = (
    InvalidRequest("the body is empty; allowed: one that holds audio"),
    InvalidParameter("temperature is '3'; allowed: 0, or a number from 0.001 to 1", parameter="temperature"),
    Unauthorized("the API key is not one that this server knows"),
    UnknownModel("the model 'x' is not served here; allowed: openai/whisper-base, whisper-base, whisper-1"),
    UnknownJob("there is no job 'R0'"),
    MethodNotAllowed("the method of '/' is GET; allowed: POST", allowed="POST, OPTIONS"),
    UploadTimeout("the body stopped after 65536 bytes; allowed: pauses of 60 s at most"),
    BodyTooLarge("the body has 104857601 bytes or more; allowed: 104857600 bytes of audio", n_bytes=104_857_601),
    AudioTooLong("the audio is longer than 21600 s; allowed: 21600 s"),
    UnsupportedEncoding("the encoding of the body is 'br'; allowed: gzip, deflate"),
    InvalidAudio("the audio cannot be decoded: the file ends early"),
    UnsupportedAudio("the body is not an audio file that can be decoded; it begins with 'Hello'"),
    Overloaded("64 requests are in progress; allowed: 64 at a time", retry_after_s=3),
    EngineError("the model failed"),
    EngineUnavailable("the server is shutting down"),
    ModelNotLoaded("the model 'openai/whisper-base' cannot be loaded"),
    JobsUnavailable("this server does not accept jobs"),
    WorkTimeout("the transcription took longer than 3600 s; allowed: 3600 s"),
    StorageFailed("the body cannot be stored (No space left on device)"),
)
EXAMPLES = {type(error): error for error in _EXAMPLES}
"""An error of each class that operations name."""


def describe_errors(
    errors: Iterable[type[AsrError]], error_format: ErrorFormat, body: Schema
) -> dict[str, dict[str, Any]]:
    """Return the responses by their statuses. body: the schema of the bodies."""
    found: dict[str, dict[str, Any]] = {}
    for kind in errors:
        example = error_response(EXAMPLES[kind], error_format)
        response = found.setdefault(
            str(example.status_code),
            {"description": "", "headers": {}, "content": {JSON: {"schema": body, "examples": {}}}},
        )
        sentence = (kind.__doc__ or "").split("\n")[0]
        response["description"] = f"{response['description']} {sentence}".strip()
        response["content"][JSON]["examples"][kind.__name__] = {"value": json.loads(bytes(example.body))}
        for name, value in example.headers.items():
            if name not in ("content-type", "content-length"):
                response["headers"][name] = {"schema": {"type": "string"}, "example": value}
    return dict(sorted(found.items()))
