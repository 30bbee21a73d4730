"""Errors in DeepInfra's format: `{"error"}`, and for parameters `{"detail": [{"loc", "msg", "type"}]}`."""

from __future__ import annotations

from typing import Any

from hf_asr_endpoint.api.errors import ErrorDetails, ErrorFormat, message_header
from hf_asr_endpoint.errors import AsrError, InvalidParameter, MissingParameter, UnknownParameter

_TYPES: dict[type[AsrError], str] = {
    UnknownParameter: "extra_forbidden",
    MissingParameter: "missing",
    InvalidParameter: "value_error",
}
"""pydantic's names, which FastAPI shows."""


def _render_body(details: ErrorDetails) -> dict[str, Any]:
    """Return the body: about a parameter as FastAPI writes it, about anything else its message alone."""
    if not isinstance(details.error, InvalidParameter):
        return {"error": details.message}
    location = ["body"] if details.parameter is None else ["body", details.parameter]
    kind = next(_TYPES[base] for base in type(details.error).__mro__ if base in _TYPES)
    return {"detail": [{"loc": location, "msg": details.message, "type": kind}]}


ERROR_FORMAT = ErrorFormat(body=_render_body, headers=message_header)
