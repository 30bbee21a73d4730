"""Transcriptions to DeepInfra's body."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hf_asr_endpoint.api.segments import (
    is_in_other_language,
    known,
    n_input_tokens,
    n_output_tokens,
    segment_fields,
)
from hf_asr_endpoint.types import Segment, Transcription, Word

COST_DIGITS = 10  # after the decimal point


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a response shows in addition to the result. price_per_s: of audio, in any currency."""

    request_id: str
    runtime_s: float
    price_per_s: float


def render_transcription(transcription: Transcription, work: Work, *, shows_words: bool) -> dict[str, Any]:
    """Return the body of a response: the results, the request's id and its `inference_status`."""
    return {
        **render_results(transcription, shows_words=shows_words),
        "request_id": work.request_id,
        "inference_status": {
            "status": "succeeded",
            "runtime_ms": round(work.runtime_s * 1000),
            **render_counts(transcription, price_per_s=work.price_per_s),
        },
    }


def render_results(transcription: Transcription, *, shows_words: bool) -> dict[str, Any]:
    """Return text, segments, language and durations. Words appear twice: at the top and in their segments.

    Extensions: a detected language has a `language_probability`, and a segment in another language its own
    `language`.
    """
    body: dict[str, Any] = {
        "text": transcription.text,
        "segments": [
            {
                **_segment(segment, index=index, shows_words=shows_words),
                **({"language": segment.language} if is_in_other_language(segment, transcription) else {}),
            }
            for index, segment in enumerate(transcription.segments)
        ],
        **known({"language": transcription.language}),
        "input_length_ms": round(transcription.duration_s * 1000),
    }
    if transcription.language_probability is not None:
        body["language_probability"] = transcription.language_probability
    if shows_words:
        body["words"] = [
            {"text": word.word.strip(), "start": word.start, "end": word.end}
            for segment in transcription.segments
            for word in segment.words
        ]
    return {**body, "duration": transcription.duration_s}


def render_counts(transcription: Transcription, *, price_per_s: float) -> dict[str, Any]:
    """Return the fields of `inference_status` other than the status and the time taken.

    tokens_input: encoder positions that hold audio. output_length: characters of text.
    """
    return {
        "cost": round(transcription.duration_s * price_per_s, COST_DIGITS),
        "tokens_generated": n_output_tokens(transcription),
        "tokens_input": n_input_tokens(transcription),
        "output_length": len(transcription.text),
    }


def _segment(segment: Segment, *, index: int, shows_words: bool) -> dict[str, Any]:
    """Return Whisper's fields and `confidence`, the geometric mean probability of the tokens in the window.

    avg_logprob is the logarithm of that mean; where it is not known, neither is there a confidence.
    """
    fields = segment_fields(segment, index=index)
    if segment.window.avg_logprob is not None:
        fields["confidence"] = min(1.0, math.exp(segment.window.avg_logprob))
    if shows_words:
        fields["words"] = _words(segment.words)
    return fields


def _words(words: Iterable[Word]) -> list[dict[str, Any]]:
    return [
        known({"text": word.word.strip(), "start": word.start, "end": word.end, "confidence": word.probability})
        for word in words
    ]
