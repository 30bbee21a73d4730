"""Parts that OpenAI's and DeepInfra's bodies share: the ten fields of a segment, and counts of tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NotRequired

from typing_extensions import TypedDict

from hf_asr_endpoint.types import Segment, Transcription
from hf_asr_endpoint.units import HOP_LENGTH, SAMPLE_RATE, TIME_PRECISION_S


class SegmentFields(TypedDict):
    """What `segment_fields` returns. Times are seconds; seek is in frames of 10 ms."""

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: NotRequired[float]
    avg_logprob: NotRequired[float]
    compression_ratio: float
    no_speech_prob: NotRequired[float]


def segment_fields(segment: Segment, *, index: int) -> dict[str, Any]:
    """Return a segment as openai/whisper's `transcribe` does, without what its model does not tell.

    seek: the 10 ms frame at which its window begins.
    """
    window = segment.window
    fields = {
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
    return known(fields)


def known(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are not None: what a model does not tell is absent from answers."""
    return {name: value for name, value in fields.items() if value is not None}


def is_in_other_language(segment: Segment, transcription: Transcription) -> bool:
    """Return whether a segment is known to be in another language than the recording."""
    return segment.language not in (None, transcription.language)


def n_input_tokens(transcription: Transcription) -> int:
    """Return the number of encoder positions that hold audio, 50 per second. A prompt does not count."""
    return math.ceil(transcription.duration_s / TIME_PRECISION_S)


def n_output_tokens(transcription: Transcription) -> int:
    """Return the number of tokens of all segments, timestamp tokens included."""
    return sum(len(segment.tokens) for segment in transcription.segments)
