"""Errors in OpenAI's format: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

from typing import Any

from hf_asr_endpoint.api.errors import ErrorDetails, ErrorFormat
from hf_asr_endpoint.api.openai.bodies import ErrorBody
from hf_asr_endpoint.errors import (
    AsrError,
    BodyTooLarge,
    InvalidAudio,
    InvalidParameter,
    MethodNotAllowed,
    MissingParameter,
    Overloaded,
    Unauthorized,
    UnknownModel,
    UnknownParameter,
    UnknownPath,
    UnsupportedAudio,
    UnsupportedParameter,
    UnsupportedValue,
)

RETRIABLE = (408, 429, 503)
"""Statuses after which the same request may succeed. OpenAI's clients also retry 409 and all from 500 on."""

_CODES: dict[type[AsrError], str] = {
    Unauthorized: "invalid_api_key",
    UnknownModel: "model_not_found",
    UnknownPath: "unknown_url",
    MethodNotAllowed: "method_not_supported",
    UnknownParameter: "unknown_parameter",
    MissingParameter: "missing_required_parameter",
    UnsupportedParameter: "unsupported_parameter",
    UnsupportedValue: "unsupported_value",
    InvalidParameter: "invalid_value",
    Overloaded: "rate_limit_exceeded",
}


def make_error_format(*, max_audio_bytes: int) -> ErrorFormat:
    """Return the format. max_audio_bytes: the limit that the message of a BodyTooLarge names."""

    def render_body(details: ErrorDetails) -> dict[str, Any]:
        error = details.error
        if isinstance(error, BodyTooLarge):
            # OpenAI's own words, and its own type for them.
            message = f"Maximum content size limit ({max_audio_bytes}) exceeded ({error.n_bytes} bytes read)"
            return {"error": {"message": message, "type": "server_error", "param": None, "code": None}}
        return {
            "error": {
                "message": details.message,
                "type": _type_of(details.status),
                "param": _parameter_of(details),
                "code": code_of(error),
            }
        }

    return ErrorFormat(
        body=render_body,
        body_type=ErrorBody,
        headers=_headers,
        statuses={InvalidParameter: 400, UnsupportedAudio: 400},
    )


def code_of(error: AsrError) -> str | None:
    """Return OpenAI's code for an error; None if it has none."""
    return next((_CODES[base] for base in type(error).__mro__ if base in _CODES), None)


def _headers(details: ErrorDetails) -> dict[str, str]:
    return {} if details.status in RETRIABLE else {"x-should-retry": "false"}


def _type_of(status: int) -> str:
    if status == 429:
        return "requests"
    return "invalid_request_error" if status < 500 else "server_error"


def _parameter_of(details: ErrorDetails) -> str | None:
    if isinstance(details.error, UnknownModel):
        return "model"
    return "file" if isinstance(details.error, InvalidAudio) else details.parameter
