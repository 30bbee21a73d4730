"""How far words' times are from a reference: hits found by their text, errors in milliseconds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.accuracy import normalise

NEAR_MS = 200.0  # an error that subtitles can live with


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedWord:
    """A word, in seconds from the beginning of its recording."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WordError:
    """How far a word's times are off, in milliseconds; below 0 is too early."""

    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorSummary:
    """Absolute errors of one kind, in milliseconds. near: the share of at most NEAR_MS, in per cent."""

    median_ms: float
    p90_ms: float
    near: float


def word_errors(expected: Sequence[TimedWord], found: Sequence[TimedWord]) -> list[WordError]:
    """Compare each word of a recording with the nearest of those found that has its text, if there is one."""
    errors = []
    for word in expected:
        alike = [other for other in found if normalise(other.text) == normalise(word.text)]
        if alike:
            nearest = min(alike, key=lambda other: abs(other.start - word.start) + abs(other.end - word.end))
            errors.append(
                WordError(start_ms=1000 * (nearest.start - word.start), end_ms=1000 * (nearest.end - word.end))
            )
    return errors


def summarise(errors_ms: Sequence[float]) -> ErrorSummary:
    """errors_ms: at least one, of either sign."""
    sizes = sorted(abs(error) for error in errors_ms)
    return ErrorSummary(
        median_ms=statistics.median(sizes),
        p90_ms=sizes[min(int(0.9 * len(sizes)), len(sizes) - 1)],
        near=100 * sum(size <= NEAR_MS for size in sizes) / len(sizes),
    )
