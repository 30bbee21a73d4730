"""Errors to DeepInfra's bodies: `{"error"}`, and for parameters `{"detail": [{"loc", "msg", "type"}]}`."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from hf_asr_endpoint.api.deepinfra.schema import FIELDS
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
    name = error.parameter or _first_field(message)
    location = ["body"] if name is None else ["body", printable(name)]
    kind = next(_TYPES[base] for base in type(error).__mro__ if base in _TYPES)
    return {"detail": [{"loc": location, "msg": message, "type": kind}]}


def _first_field(message: str) -> str | None:
    """Return the field that a message begins with.

    Whoever says what a model can follow knows options, not what each dialect calls them. Here they are called
    alike.
    """
    return next((name for name in FIELDS if message.startswith(f"{name} ")), None)


def error_response(error: AsrError) -> JSONResponse:
    """Return the answer to a request that fails with `error`."""
    headers = {**message_headers(printable(str(error))), **headers_of(error)}
    return JSONResponse(error_body(error), status_code=status_of(error), headers=headers)
