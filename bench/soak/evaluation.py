"""What a soak shows: requests by kind, memory by quarter, and whether its two bars hold. Pure."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.load_result import percentile
from bench.report import NO_VALUE, Bar

MAX_MEMORY_CHANGE = 0.05
"""By how much the mean memory of the last quarter may differ from that of the second, as a part of the second."""

_LOGGED_ERROR = re.compile(r"^\S+ \S+ (?:ERROR|CRITICAL) .*$", re.MULTILINE)

KIND_COLUMNS = ("requests", "n", "errors", "p50 s", "p95 s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request that has ended. error: what was wrong with its response, if anything."""

    kind: str
    latency_s: float
    error: str | None = None


def quarter_means(samples: Sequence[float]) -> tuple[float, float, float, float] | None:
    """Return the mean of each quarter of samples taken at equal distances; None with fewer than 4."""
    if len(samples) < 4:
        return None
    edges = [round(len(samples) * quarter / 4) for quarter in range(5)]
    first, second, third, last = (statistics.fmean(samples[edges[i] : edges[i + 1]]) for i in range(4))
    return first, second, third, last


def error_bar(requests: Sequence[Request]) -> Bar:
    """Return whether there were requests, and no error."""
    n_errors = sum(request.error is not None for request in requests)
    return Bar(
        what="no error", result=f"{n_errors} of {len(requests)} requests", holds=bool(requests) and n_errors == 0
    )


def log_bar(log: str) -> Bar:
    """Return whether a server's log, in its text format, has no error."""
    errors = _LOGGED_ERROR.findall(log)
    return Bar(what="no error in the log", result="; ".join((str(len(errors)), *errors[:1])), holds=not errors)


def memory_bar(samples: Sequence[float]) -> Bar:
    """Return whether the memory of the last quarter is about that of the second. samples: in MiB."""
    what = f"memory of the last quarter within {MAX_MEMORY_CHANGE:.0%} of the second"
    means = quarter_means(samples)
    if means is None:
        return Bar(what=what, result="not measured", holds=False)
    change = means[3] / means[1] - 1
    return Bar(what=what, result=f"{change:+.1%}", holds=abs(change) <= MAX_MEMORY_CHANGE)


def kind_rows(requests: Sequence[Request]) -> list[tuple[str, ...]]:
    """Return a row of KIND_COLUMNS for each kind, by name, and one for all. Latencies are those without error."""
    kinds = sorted({request.kind for request in requests})
    return [
        *(_row(kind, [request for request in requests if request.kind == kind]) for kind in kinds),
        _row("all", requests),
    ]


def _row(name: str, requests: Sequence[Request]) -> tuple[str, ...]:
    latencies = [request.latency_s for request in requests if request.error is None]
    n_errors = len(requests) - len(latencies)
    times = (percentile(latencies, percent) for percent in (50, 95))
    return name, str(len(requests)), str(n_errors), *(NO_VALUE if s is None else f"{s:.2f}" for s in times)
