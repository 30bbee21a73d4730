"""Errors of word timestamps against a reference. Words are matched by their text."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.accuracy import normalise

CLOSE_MS = 200.0  # an error that is acceptable in subtitles


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedWord:
    """A word with its times in seconds from the beginning of the recording."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WordError:
    """The errors of one word in milliseconds; negative is too early."""

    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorSummary:
    """Absolute errors of starts or of ends. close_percent: the share of errors up to CLOSE_MS."""

    median_ms: float
    p90_ms: float
    close_percent: float


def word_errors(expected: Sequence[TimedWord], found: Sequence[TimedWord]) -> list[WordError]:
    """Compare each expected word with the closest found word of the same text. Skip words that were not found."""
    errors = []
    for word in expected:
        matches = [other for other in found if normalise(other.text) == normalise(word.text)]
        if matches:
            closest = min(matches, key=lambda other: abs(other.start - word.start) + abs(other.end - word.end))
            errors.append(
                WordError(start_ms=1000 * (closest.start - word.start), end_ms=1000 * (closest.end - word.end))
            )
    return errors


def summarise(errors_ms: Sequence[float]) -> ErrorSummary:
    """Return the median, the 90th percentile and the share of small errors. errors_ms: at least one, signed."""
    sizes = sorted(abs(error) for error in errors_ms)
    return ErrorSummary(
        median_ms=statistics.median(sizes),
        p90_ms=sizes[min(int(0.9 * len(sizes)), len(sizes) - 1)],
        close_percent=100 * sum(size <= CLOSE_MS for size in sizes) / len(sizes),
    )
