"""Errors in the task's format: `{"error"}`, and the same sentence in X-Error-Message."""

from __future__ import annotations

from hf_asr_endpoint.api.errors import ErrorFormat, message_header

ERROR_FORMAT = ErrorFormat(body=lambda details: {"error": details.message}, headers=message_header)
