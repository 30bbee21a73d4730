"""The `type` of an error about a parameter, by pydantic's names, as FastAPI shows it."""

from __future__ import annotations

from hf_asr_endpoint.errors import AsrError, InvalidParameter, MissingParameter, UnknownParameter

_TYPES: dict[type[AsrError], str] = {
    UnknownParameter: "extra_forbidden",
    MissingParameter: "missing",
    InvalidParameter: "value_error",
}


def pydantic_type(error: InvalidParameter) -> str:
    """Return the name of the nearest kind of error that has one."""
    return next(_TYPES[base] for base in type(error).__mro__ if base in _TYPES)
