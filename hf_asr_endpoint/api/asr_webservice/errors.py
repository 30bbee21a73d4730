"""Errors in FastAPI's format: `{"detail"}`, a sentence, or for a parameter a list of one description."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from hf_asr_endpoint.api.asr_webservice.schema import AUDIO_FILE
from hf_asr_endpoint.api.errors import ErrorDetails, ErrorFormat, message_header
from hf_asr_endpoint.api.pydantic_types import pydantic_type
from hf_asr_endpoint.errors import InvalidParameter


class Problem(TypedDict):
    """loc: the place of a parameter."""

    loc: list[str]
    msg: str
    type: str


class ErrorBody(TypedDict):
    """A sentence, or what is wrong with a parameter."""

    detail: str | list[Problem]


def _render_body(details: ErrorDetails) -> dict[str, Any]:
    if not isinstance(details.error, InvalidParameter):
        return {"detail": details.message}
    place = "body" if details.parameter == AUDIO_FILE else "query"
    location = [place] if details.parameter is None else [place, details.parameter]
    kind = pydantic_type(details.error)
    return {"detail": [{"type": kind, "loc": location, "msg": details.message}]}


ERROR_FORMAT = ErrorFormat(body=_render_body, body_type=ErrorBody, headers=message_header)
