"""Errors to DeepInfra's bodies: `{"error"}`, and for parameters `{"detail": [{"loc", "msg", "type"}]}`."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from hf_asr_endpoint.api.errors import headers_of, message_headers, printable, status_of
from hf_asr_endpoint.errors import AsrError, InvalidParameter, MissingParameter, UnknownParameter

_TYPES: dict[type[AsrError], str] = {
    UnknownParameter: "extra_forbidden",
    MissingParameter: "missing",
    InvalidParameter: "value_error",
}
"""pydantic's names, which FastAPI shows."""


def error_body(error: AsrError) -> dict[str, Any]:
    """Return the body for an error: of a parameter as FastAPI writes it, else with its sentence alone."""
    message = printable(str(error))
    if not isinstance(error, InvalidParameter):
        return {"error": message}
    location = ["body"] if error.parameter is None else ["body", printable(error.parameter)]
    kind = next(_TYPES[base] for base in type(error).__mro__ if base in _TYPES)
    return {"detail": [{"loc": location, "msg": message, "type": kind}]}


def error_response(error: AsrError) -> JSONResponse:
    """Return the answer to a request that fails with `error`."""
    headers = {**message_headers(printable(str(error))), **headers_of(error)}
    return JSONResponse(error_body(error), status_code=status_of(error), headers=headers)
