"""Measurements to rows of text: rates, ratios to the baseline, failures. Does not know how they are measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NO_VALUE = "–"

COLUMNS = (
    "engine",
    "long file\n× real time",
    "ours ÷\nthis",
    "short clips\n× real time",
    "ours ÷\nthis",
    "long\nWER %",
    "short\nWER %",
    "peak RSS\nMiB",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One thing that must hold, and what came out."""

    what: str
    result: str
    holds: bool

    def __str__(self) -> str:
        return f"{'pass' if self.holds else 'FAIL'}: {self.what}: {self.result}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetResult:
    """Results for one set of recordings. rtfx: audio seconds per second. wer: in per cent."""

    rtfx: float
    wer: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The results of one engine, or its error."""

    label: str
    long: SetResult | None = None
    short: SetResult | None = None
    peak_rss_mib: float | None = None
    error: str | None = None


def fastest(measurements: Sequence[Measurement]) -> Measurement:
    """Return the measurement with the highest rate on the long recording; a failed one only if all failed."""
    return max(measurements, key=lambda measurement: measurement.long.rtfx if measurement.long else -1.0)


def rows(measurements: Iterable[Measurement], *, baseline: Measurement | None) -> list[tuple[str, ...]]:
    """Return a row of COLUMNS for each measurement. baseline: "ours" in the ratios."""
    return [_row(measurement, baseline) for measurement in measurements]


def ratio(ours: float | None, this: float | None) -> str:
    """Return `ours` divided by `this`, for a cell."""
    return f"{ours / this:.2f}" if ours is not None and this else NO_VALUE


def _row(measurement: Measurement, baseline: Measurement | None) -> tuple[str, ...]:
    if measurement.error is not None:
        return (f"{measurement.label}\n  failed: {measurement.error}", *[NO_VALUE] * (len(COLUMNS) - 1))
    ours_long, ours_short = (_rtfx(baseline.long), _rtfx(baseline.short)) if baseline else (None, None)
    long, short = _rtfx(measurement.long), _rtfx(measurement.short)
    return (
        measurement.label,
        _number(long),
        ratio(ours_long, long),
        _number(short),
        ratio(ours_short, short),
        _number(measurement.long.wer if measurement.long else None),
        _number(measurement.short.wer if measurement.short else None),
        NO_VALUE if measurement.peak_rss_mib is None else f"{measurement.peak_rss_mib:.0f}",
    )


def _rtfx(result: SetResult | None) -> float | None:
    return result.rtfx if result else None


def _number(value: float | None) -> str:
    return NO_VALUE if value is None else f"{value:.1f}"
