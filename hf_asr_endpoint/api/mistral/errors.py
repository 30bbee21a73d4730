"""Errors in Mistral's format: `{"object": "error", "message", "type", "param", "code"}`."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

from hf_asr_endpoint.api.errors import ErrorDetails, ErrorFormat


class ErrorBody(TypedDict):
    object: Literal["error"]
    message: str
    type: str
    param: str | None
    code: str


def _render_body(details: ErrorDetails) -> dict[str, Any]:
    kind = "invalid_request_error" if details.status < 500 else "internal_server_error"
    return {
        "object": "error",
        "message": details.message,
        "type": "rate_limit_error" if details.status == 429 else kind,
        "param": details.parameter,
        "code": str(details.status),
    }


ERROR_FORMAT = ErrorFormat(body=_render_body, body_type=ErrorBody, headers=lambda _: {})
