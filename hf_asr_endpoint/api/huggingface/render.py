"""Transcriptions to the task's JSON."""

from __future__ import annotations

from typing import Any, Literal

from hf_asr_endpoint.types import Transcription


def render_transcription(
    transcription: Transcription, *, return_timestamps: bool | Literal["word"]
) -> dict[str, Any]:
    """Return `{"text"}`, on request with `"chunks": [{"text", "timestamp": [start, end]}]`.

    return_timestamps: True gives one chunk per segment, "word" one per word.
    Times are seconds and always numbers. The chunks' texts, joined, equal the text except for its leading space.
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
