"""Transcriptions and errors to the task's JSON."""

from __future__ import annotations

from typing import Any, Literal

from hf_asr_endpoint.api.errors import message_headers, printable
from hf_asr_endpoint.types import Transcription


def render_transcription(
    transcription: Transcription, *, return_timestamps: bool | Literal["word"]
) -> dict[str, Any]:
    """Return `{"text"}`, with `"chunks": [{"text", "timestamp": [start, end]}]` when they are wanted.

    return_timestamps: True for a chunk for each segment, "word" for one for each word.
    Times are seconds and always numbers. The chunks' texts joined are the text but for its leading space.
    """
    body: dict[str, Any] = {"text": transcription.text}
    if return_timestamps == "word":
        body["chunks"] = [
            {"text": word.word, "timestamp": [word.start, word.end]}
            for segment in transcription.segments
            for word in segment.words
        ]
    elif return_timestamps:
        body["chunks"] = [
            {"text": segment.text, "timestamp": [segment.start, segment.end]} for segment in transcription.segments
        ]
    return body


def render_error(message: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return body and headers: `{"error"}`, and X-Error-Message."""
    return {"error": printable(message)}, message_headers(printable(message))
