"""Errors in whisper.cpp's format: `{"error"}`, with status 400 for all that the client can mend."""

from __future__ import annotations

from hf_asr_endpoint.api.errors import ErrorFormat, Message, message_header
from hf_asr_endpoint.errors import InvalidParameter, UnsupportedAudio

ERROR_FORMAT = ErrorFormat(
    body=lambda details: {"error": details.message},
    body_type=Message,
    headers=message_header,
    statuses={InvalidParameter: 400, UnsupportedAudio: 400},
)
