"""Errors in DeepInfra's format: `{"error"}`, and for parameters `{"detail": [{"loc", "msg", "type"}]}`."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from hf_asr_endpoint.api.errors import ErrorDetails, ErrorFormat, Message, message_header
from hf_asr_endpoint.api.pydantic_types import pydantic_type
from hf_asr_endpoint.errors import InvalidParameter


class Problem(TypedDict):
    """loc: the place of a parameter."""

    loc: list[str]
    msg: str
    type: str


class Problems(TypedDict):
    """About a parameter."""

    detail: list[Problem]


def _render_body(details: ErrorDetails) -> dict[str, Any]:
    """Return the body: about a parameter as FastAPI writes it, about anything else its message alone."""
    if not isinstance(details.error, InvalidParameter):
        return {"error": details.message}
    location = ["body"] if details.parameter is None else ["body", details.parameter]
    kind = pydantic_type(details.error)
    return {"detail": [{"loc": location, "msg": details.message, "type": kind}]}


ERROR_FORMAT = ErrorFormat(body=_render_body, body_type=Message | Problems, headers=message_header)
