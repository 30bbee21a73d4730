"""Exceptions to HTTP responses, for every dialect: one table of statuses, one place that makes the response.

A dialect contributes an `ErrorFormat`: its body, its headers, and the statuses in which it differs. The table of
paths says which dialect a request speaks.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Scope
from typing_extensions import TypedDict

from hf_asr_endpoint.api.content_encoding import ENCODINGS
from hf_asr_endpoint.api.paths import PathTable
from hf_asr_endpoint.errors import (
    AsrError,
    AudioTooLong,
    BodyTooLarge,
    EngineError,
    EngineLost,
    EngineUnavailable,
    InternalError,
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
    UnknownPath,
    UnsupportedAudio,
    UnsupportedEncoding,
    UploadTimeout,
    WorkTimeout,
)

MAX_MESSAGE_BYTES = 2_048
"""Values in messages are shortened one by one; this bounds what many of them add up to."""

MAX_HEADER_CHARACTERS = 500

STATUSES: Mapping[type[AsrError], int] = {
    InvalidRequest: 400,
    InvalidParameter: 422,
    Unauthorized: 401,
    UnknownModel: 404,
    UnknownJob: 404,
    UnknownPath: 404,
    MethodNotAllowed: 405,
    BodyTooLarge: 413,
    UnsupportedEncoding: 415,
    UploadTimeout: 408,
    InvalidAudio: 400,
    UnsupportedAudio: 415,
    AudioTooLong: 413,
    Overloaded: 429,
    WorkTimeout: 504,
    StorageFailed: 507,
    JobsUnavailable: 503,
    EngineError: 500,
    EngineUnavailable: 503,
    EngineLost: 503,
    ModelNotLoaded: 503,
}
"""A class that is not listed has the status of its nearest base."""

INTERNAL_ERROR = "the server failed; its log has the details under the request id"

_NOT_PRINTABLE = re.compile(r"[^ -~]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorDetails:
    """What a body shows of an error. UTF-8 can encode `message` and `parameter`, whatever the client sent."""

    error: AsrError
    status: int
    message: str
    parameter: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorFormat:
    """How one dialect shows errors. body_type: of its bodies. statuses: where it differs from STATUSES."""

    body: Callable[[ErrorDetails], dict[str, Any]]
    body_type: Any
    headers: Callable[[ErrorDetails], dict[str, str]]
    statuses: Mapping[type[AsrError], int] = field(default_factory=dict)

    def describe(self, error: AsrError) -> ErrorDetails:
        """Return what this dialect's body shows of an error."""
        table = {**STATUSES, **self.statuses}
        parameter = error.parameter if isinstance(error, InvalidParameter) else None
        return ErrorDetails(
            error=error,
            status=next((table[base] for base in type(error).__mro__ if base in table), 500),
            message=_encodable(str(error)),
            parameter=None if parameter is None else _encodable(parameter),
        )

    def body_of(self, exc: Exception) -> dict[str, Any]:
        """Return the body alone, for an error that comes after the status has been sent."""
        return self.body(self.describe(exc if isinstance(exc, AsrError) else InternalError(INTERNAL_ERROR)))


class ErrorRenderer:
    """Makes the response for an exception, in the format of the dialect that the request speaks."""

    def __init__(self, paths: PathTable, formats: Mapping[str, ErrorFormat]) -> None:
        """formats: by the dialects' names."""
        self._paths = paths
        self._formats = formats

    def __call__(self, exc: BaseException, scope: Scope) -> Response:
        """Return the response. scope: with a clean path.

        The caller logs a bug: any exception that is not an AsrError.
        """
        dialect = self._paths.dialect_of(scope["method"], scope["path"])
        return error_response(exc, self._formats[dialect.name])


def error_response(exc: BaseException, error_format: ErrorFormat) -> Response:
    """Return the response for an exception in a format."""
    error = translate_exception(exc)
    details = error_format.describe(error)
    headers = {**_headers_of(error), **error_format.headers(details)}
    return JSONResponse(error_format.body(details), status_code=details.status, headers=headers)


def translate_exception(exc: BaseException) -> AsrError:
    """Return the error of our tree for any exception that ends a request."""
    if isinstance(exc, AsrError):
        return exc
    if isinstance(exc, asyncio.CancelledError):  # The time that a shutdown gives to requests is over.
        return EngineUnavailable("the server is shutting down")
    return InternalError(INTERNAL_ERROR)


def message_header(details: ErrorDetails) -> dict[str, str]:
    """Return X-Error-Message, which huggingface_hub shows first: one line of printable ASCII.

    It must not end in a blank (RFC 9110, section 5.5): uvicorn would close the connection instead of sending it.
    """
    line = " ".join(details.message.split()).encode("ascii", "backslashreplace").decode()
    return {"X-Error-Message": _NOT_PRINTABLE.sub("?", line)[:MAX_HEADER_CHARACTERS].strip()}


class Message(TypedDict):
    error: str


MESSAGE_FORMAT = ErrorFormat(
    body=lambda details: {"error": details.message}, body_type=Message, headers=message_header
)
"""Hugging Face's: `{"error"}`, and the same sentence in X-Error-Message."""


def _headers_of(error: AsrError) -> dict[str, str]:
    """Return the headers that belong to an error in every dialect."""
    if isinstance(error, Overloaded):
        # huggingface_hub shows its users the second one (draft-ietf-httpapi-ratelimit-headers-09).
        return {"Retry-After": str(error.retry_after_s), "RateLimit": f'"requests";r=0;t={error.retry_after_s}'}
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": "Bearer"}  # RFC 9110, section 15.5.2, wants it in each 401.
    if isinstance(error, MethodNotAllowed):
        return {"Allow": error.allowed}
    if isinstance(error, UnsupportedEncoding):
        # RFC 9110, section 12.5.3: a 415 about a request's content coding lists the accepted ones.
        return {"Accept-Encoding": ", ".join(ENCODINGS)}
    return {"x-should-retry": "false"} if isinstance(error, InternalError) else {}


def _encodable(text: str) -> str:
    """Return a bounded text that UTF-8 can encode: JSON and percent-encoding can spell half a surrogate pair."""
    encoded = text[:MAX_MESSAGE_BYTES].encode("utf-8", "backslashreplace")
    if len(encoded) <= MAX_MESSAGE_BYTES and len(text) <= MAX_MESSAGE_BYTES:
        return encoded.decode()
    ellipsis = "…"
    return encoded[: MAX_MESSAGE_BYTES - len(ellipsis.encode())].decode("utf-8", "ignore") + ellipsis
