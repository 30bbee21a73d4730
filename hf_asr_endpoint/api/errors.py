"""The one table that says which HTTP status each error becomes. How a body shows it is each dialect's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from hf_asr_endpoint.api.content_encoding import ENCODINGS
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
    Overloaded,
    StorageFailed,
    UnknownJob,
    UnknownModel,
    UnsupportedAudio,
    UnsupportedEncoding,
    UploadTimeout,
)

MAX_HEADER_CHARACTERS = 500
_NOT_PRINTABLE = re.compile(r"[^ -~]")

_STATUS: dict[type[AsrError], int] = {
    InvalidRequest: 400,
    InvalidParameter: 422,
    UnknownModel: 404,
    UnknownJob: 404,
    BodyTooLarge: 413,
    UnsupportedEncoding: 415,
    UploadTimeout: 408,
    InvalidAudio: 400,
    UnsupportedAudio: 415,
    AudioTooLong: 413,
    Overloaded: 429,
    StorageFailed: 507,
    JobsUnavailable: 503,
    EngineError: 500,
    EngineUnavailable: 503,
}


def status_of(error: AsrError, *, own: Mapping[type[AsrError], int] = MappingProxyType({})) -> int:
    """Return the HTTP status of an error: its own class's, or the nearest base's.

    own: where a dialect differs from the table.
    """
    table = {**_STATUS, **own}
    return next((table[base] for base in type(error).__mro__ if base in table), 500)


def headers_of(error: AsrError) -> dict[str, str]:
    """Return the headers that go with an error, whatever the dialect."""
    if isinstance(error, Overloaded):
        return {"Retry-After": str(error.retry_after_s)}
    # RFC 9110, section 12.5.3: a 415 about the coding of a request says which ones are accepted.
    return {"Accept-Encoding": ", ".join(ENCODINGS)} if isinstance(error, UnsupportedEncoding) else {}


def printable(message: str) -> str:
    """Return a message that a body can hold: a request can hold half a surrogate pair, which no body can."""
    return message.encode("utf-8", "backslashreplace").decode()


def message_headers(message: str) -> dict[str, str]:
    """Return X-Error-Message, which huggingface_hub shows first: one line of what a header can hold."""
    line = " ".join(message.split()).encode("ascii", "backslashreplace").decode()
    return {"X-Error-Message": _NOT_PRINTABLE.sub("?", line)[:MAX_HEADER_CHARACTERS]}
