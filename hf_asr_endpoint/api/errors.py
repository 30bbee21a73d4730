"""The one table that says which HTTP status each error becomes. How a body shows it is each dialect's own."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

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
    UploadTimeout,
)

_STATUS: dict[type[AsrError], int] = {
    InvalidRequest: 400,
    InvalidParameter: 422,
    UnknownModel: 404,
    UnknownJob: 404,
    BodyTooLarge: 413,
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
    return {"Retry-After": str(error.retry_after_s)} if isinstance(error, Overloaded) else {}
