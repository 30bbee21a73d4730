"""Errors to OpenAI's bodies: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from hf_asr_endpoint.api.errors import headers_of, printable, status_of
from hf_asr_endpoint.errors import (
    AsrError,
    BodyTooLarge,
    InvalidAudio,
    InvalidParameter,
    MissingParameter,
    Overloaded,
    UnknownModel,
    UnknownParameter,
    UnsupportedAudio,
    UnsupportedParameter,
    UnsupportedValue,
)

STATUS: dict[type[AsrError], int] = {InvalidParameter: 400, UnsupportedAudio: 400}
"""Where OpenAI differs from the table of `api/errors.py`."""

RETRIABLE = (408, 429, 503)
"""What may go better the next time. OpenAI's clients would by themselves retry 409 and everything from 500 on."""

_CODES: dict[type[AsrError], str] = {
    UnknownModel: "model_not_found",
    UnknownParameter: "unknown_parameter",
    MissingParameter: "missing_required_parameter",
    UnsupportedParameter: "unsupported_parameter",
    UnsupportedValue: "unsupported_value",
    InvalidParameter: "invalid_value",
    Overloaded: "rate_limit_exceeded",
}


def error_body(error: AsrError, *, max_audio_bytes: int) -> dict[str, Any]:
    """Return the body for an error. max_audio_bytes: the limit that a BodyTooLarge is about."""
    if isinstance(error, BodyTooLarge):
        # OpenAI's own words, and its own type for them.
        message = f"Maximum content size limit ({max_audio_bytes}) exceeded ({error.n_bytes} bytes read)"
        return make_body(message, kind="server_error")
    return make_body(
        str(error), kind=_kind(status_of(error, own=STATUS)), parameter=_parameter(error), code=_code(error)
    )


def error_response(error: AsrError, *, max_audio_bytes: int) -> JSONResponse:
    """Return the answer to a request that fails with `error`."""
    return make_response(
        error_body(error, max_audio_bytes=max_audio_bytes), status_of(error, own=STATUS), headers_of(error)
    )


def plain_error_response(message: str, status: int, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return an error that is about no parameter: of the server, or of the path or the method."""
    code = {404: "unknown_url", 405: "method_not_supported"}.get(status)
    return make_response(make_body(message, kind=_kind(status), code=code), status, headers or {})


def make_response(body: dict[str, Any], status: int, headers: dict[str, str]) -> JSONResponse:
    retry = {} if status in RETRIABLE else {"x-should-retry": "false"}
    return JSONResponse(body, status_code=status, headers={**retry, **headers})


def make_body(message: str, *, kind: str, parameter: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": printable(message), "type": kind, "param": parameter, "code": code}}


def _kind(status: int) -> str:
    if status == 429:
        return "requests"
    return "invalid_request_error" if status < 500 else "server_error"


def _parameter(error: AsrError) -> str | None:
    if isinstance(error, InvalidParameter):
        return error.parameter
    if isinstance(error, UnknownModel):
        return "model"
    return "file" if isinstance(error, InvalidAudio) else None


def _code(error: AsrError) -> str | None:
    return next((_CODES[base] for base in type(error).__mro__ if base in _CODES), None)
