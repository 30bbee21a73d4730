"""Whisper's own ten fields of a segment, which OpenAI's and DeepInfra's answers both have."""

from __future__ import annotations

from typing import Any

from hf_asr_endpoint.types import Segment
from hf_asr_endpoint.units import HOP_LENGTH, SAMPLE_RATE


def segment_fields(segment: Segment, *, index: int) -> dict[str, Any]:
    """Return a segment as openai/whisper's `transcribe` does. seek: where its window begins, in 10 ms frames."""
    window = segment.window
    return {
        "id": index,
        "seek": round(window.start * SAMPLE_RATE / HOP_LENGTH),
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": window.temperature,
        "avg_logprob": window.avg_logprob,
        "compression_ratio": window.compression_ratio,
        "no_speech_prob": window.no_speech_prob,
    }
