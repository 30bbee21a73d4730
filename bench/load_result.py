"""What many clients have seen, in a few numbers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.report import NOTHING, ratio

LOAD_COLUMNS = (
    "clients",
    "engine",
    "audio\ns/s",
    "ours ÷\nthis",
    "requests\n1/s",
    "p50\ns",
    "p95\ns",
    "max\ns",
    "TTFB\np50 s",
    "errors",
    "a client's\nrequests",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One finished request."""

    client: int
    audio_s: float
    latency_s: float
    ttfb_s: float | None = None  # None where no bytes are sent, as in one's own process
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """The requests of `n_clients` at a time. Without a successful one, times are None."""

    n_clients: int
    audio_s_per_s: float
    requests_per_s: float
    p50_s: float | None
    p95_s: float | None
    max_s: float | None
    ttfb_p50_s: float | None
    n_errors: int
    first_error: str | None
    fewest: int  # requests that the slowest client has finished
    most: int


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Return a percentile, interpolated between contiguous_runs; None of nothing."""
    return float(np.percentile(values, percent)) if values else None


def summarise(replies: Sequence[Reply], *, n_clients: int, elapsed_s: float) -> LoadResult:
    """Count failures apart: only requests that succeeded count for rates, times and fairness."""
    good = [reply for reply in replies if reply.error is None]
    latencies = [reply.latency_s for reply in good]
    finished = [sum(reply.client == client for reply in good) for client in range(n_clients)]
    return LoadResult(
        n_clients=n_clients,
        audio_s_per_s=sum(reply.audio_s for reply in good) / elapsed_s,
        requests_per_s=len(good) / elapsed_s,
        p50_s=percentile(latencies, 50),
        p95_s=percentile(latencies, 95),
        max_s=percentile(latencies, 100),
        ttfb_p50_s=percentile([reply.ttfb_s for reply in good if reply.ttfb_s is not None], 50),
        n_errors=len(replies) - len(good),
        first_error=next((reply.error for reply in replies if reply.error is not None), None),
        fewest=min(finished),
        most=max(finished),
    )


def load_row(label: str, result: LoadResult, *, ours: LoadResult) -> tuple[str, ...]:
    """Return the table's row of one number of clients."""
    return (
        str(result.n_clients),
        label,
        f"{result.audio_s_per_s:.1f}",
        ratio(ours.audio_s_per_s, result.audio_s_per_s),
        f"{result.requests_per_s:.2f}",
        *map(_seconds, (result.p50_s, result.p95_s, result.max_s, result.ttfb_p50_s)),
        str(result.n_errors),
        f"{result.fewest} … {result.most}",
    )


def _seconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"
