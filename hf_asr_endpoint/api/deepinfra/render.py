"""Transcriptions to DeepInfra's body."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from hf_asr_endpoint.api.segments import n_input_tokens, n_output_tokens, segment_fields
from hf_asr_endpoint.types import Segment, Transcription, Word

Status = Literal["unknown", "queued", "running", "succeeded", "failed"]

COST_DIGITS = 10  # of a price, behind the point


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is told of a request beside its result. price_per_s: of audio, in whatever currency."""

    request_id: str
    runtime_s: float
    price_per_s: float


def render_transcription(transcription: Transcription, work: Work, *, shows_words: bool) -> dict[str, Any]:
    """Return text, segments, language, durations and status; with words, at the top and in their segments."""
    body: dict[str, Any] = {
        "text": transcription.text,
        "segments": [
            _segment(segment, index=index, shows_words=shows_words)
            for index, segment in enumerate(transcription.segments)
        ],
        "language": transcription.language,
        "input_length_ms": round(transcription.duration_s * 1000),
    }
    if shows_words:
        body["words"] = [
            {"text": word.word.strip(), "start": word.start, "end": word.end}
            for segment in transcription.segments
            for word in segment.words
        ]
    return {
        **body,
        "duration": transcription.duration_s,
        "request_id": work.request_id,
        "inference_status": render_status(
            "succeeded",
            runtime_s=work.runtime_s,
            cost=transcription.duration_s * work.price_per_s,
            tokens_generated=n_output_tokens(transcription),
            tokens_input=n_input_tokens(transcription),
            output_length=len(transcription.text),
        ),
    }


def render_status(
    status: Status,
    *,
    runtime_s: float = 0.0,
    cost: float = 0.0,
    tokens_generated: int = 0,
    tokens_input: int = 0,
    output_length: int = 0,
) -> dict[str, Any]:
    """Return `inference_status`; for what has no result, all numbers are 0.

    tokens_input: the encoder's positions that hold audio. output_length: characters of text.
    """
    return {
        "status": status,
        "runtime_ms": round(runtime_s * 1000),
        "cost": round(cost, COST_DIGITS),
        "tokens_generated": tokens_generated,
        "tokens_input": tokens_input,
        "output_length": output_length,
    }


def _segment(segment: Segment, *, index: int, shows_words: bool) -> dict[str, Any]:
    """Return Whisper's fields and `confidence`: the mean probability of a token in the segment's window.

    The mean is the geometric one, which avg_logprob is the logarithm of.
    """
    fields = segment_fields(segment, index=index)
    fields["confidence"] = min(1.0, math.exp(segment.window.avg_logprob))
    if shows_words:
        fields["words"] = _words(segment.words)
    return fields


def _words(words: Iterable[Word]) -> list[dict[str, Any]]:
    return [
        {"text": word.word.strip(), "start": word.start, "end": word.end, "confidence": word.probability}
        for word in words
    ]
