"""Summarises the requests of several clients in rates, latencies and errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.report import NO_VALUE, ratio

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
    "requests\nof a client",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One finished request."""

    client: int
    audio_s: float
    latency_s: float
    ttfb_s: float | None = None  # None without HTTP
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """The requests of `n_clients` at the same time. Times are None without a successful request."""

    n_clients: int
    audio_s_per_s: float
    requests_per_s: float
    p50_s: float | None
    p95_s: float | None
    max_s: float | None
    ttfb_p50_s: float | None
    n_errors: int
    first_error: str | None
    min_requests: int  # of one client
    max_requests: int


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Return a percentile, interpolated between neighbouring values; None without values."""
    return float(np.percentile(values, percent)) if values else None


def summarise(replies: Sequence[Reply], *, n_clients: int, elapsed_s: float) -> LoadResult:
    """Return rates, latencies and fairness of successful requests, and the number of failed ones."""
    succeeded = [reply for reply in replies if reply.error is None]
    latencies = [reply.latency_s for reply in succeeded]
    finished = [sum(reply.client == client for reply in succeeded) for client in range(n_clients)]
    return LoadResult(
        n_clients=n_clients,
        audio_s_per_s=sum(reply.audio_s for reply in succeeded) / elapsed_s,
        requests_per_s=len(succeeded) / elapsed_s,
        p50_s=percentile(latencies, 50),
        p95_s=percentile(latencies, 95),
        max_s=percentile(latencies, 100),
        ttfb_p50_s=percentile([reply.ttfb_s for reply in succeeded if reply.ttfb_s is not None], 50),
        n_errors=len(replies) - len(succeeded),
        first_error=next((reply.error for reply in replies if reply.error is not None), None),
        min_requests=min(finished),
        max_requests=max(finished),
    )


def load_row(label: str, result: LoadResult, *, ours: LoadResult) -> tuple[str, ...]:
    """Return a row of the table, for one number of clients."""
    return (
        str(result.n_clients),
        label,
        f"{result.audio_s_per_s:.1f}",
        ratio(ours.audio_s_per_s, result.audio_s_per_s),
        f"{result.requests_per_s:.2f}",
        *map(_seconds, (result.p50_s, result.p95_s, result.max_s, result.ttfb_p50_s)),
        str(result.n_errors),
        f"{result.min_requests} … {result.max_requests}",
    )


def _seconds(value: float | None) -> str:
    return NO_VALUE if value is None else f"{value:.2f}"
