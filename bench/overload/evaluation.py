"""What an overload shows: the accepted requests, the refused ones, and whether the bars hold. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.load_result import percentile
from bench.overload.sending import Answer
from bench.report import NO_VALUE, Bar

MAX_REFUSAL_S = 0.05
"""Time within which a request that finds no place must be refused."""

N_WINDOWS = 2
"""How many windows' time an accepted request may take beyond the longest allowed wait."""

ANSWER_COLUMNS = ("", "n", "p50 ms", "p95 ms", "p99 ms", "max ms")
_PERCENTS = (50, 95, 99, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What the server can do. window_s: a request alone. The others: with all slots taken.

    p95_s: the latency of requests that fit. cpu_each_s: processor time of the server for each request. None where
    it is not known.
    """

    window_s: float
    requests_per_s: float
    p95_s: float | None = None
    cpu_each_s: float | None = None

    def __str__(self) -> str:
        p95, cpu = (NO_VALUE if s is None else f"{s:.2f}" for s in (self.p95_s, self.cpu_each_s))
        return (
            f"alone {self.window_s:.2f} s; all slots {self.requests_per_s:.2f} requests/s, p95 {p95} s, "
            f"{cpu} CPU s each"
        )


def mean_capacity(before: Capacity, after: Capacity) -> Capacity:
    """Return the mean of two measurements of the same server."""
    return replace(
        before,
        window_s=(before.window_s + after.window_s) / 2,
        requests_per_s=(before.requests_per_s + after.requests_per_s) / 2,
    )


def overload_bars(answers: Sequence[Answer], capacity: Capacity, *, max_wait_s: float) -> list[Bar]:
    """Return whether each request got its text or an early 429, and the texts came in time.

    max_wait_s: for a request's turn, as the server allows it.
    """
    max_latency_s = max_wait_s + N_WINDOWS * capacity.window_s
    accepted = [answer.elapsed_s for answer in answers if answer.status == 200]
    refused = [answer.elapsed_s - answer.own_delay_s for answer in answers if answer.status == 429]
    own_delay_s = max((answer.own_delay_s for answer in answers if answer.status == 429), default=0.0)
    wrong = [answer for answer in answers if answer.error or answer.status not in (200, 429)]
    without_retry = sum(answer.status == 429 and not answer.has_retry_after for answer in answers)
    p95_s, slowest_s = percentile(accepted, 95), percentile(refused, 100)
    n_late = sum(s > MAX_REFUSAL_S for s in refused)
    return [
        Bar(
            what="every request gets its text or 429",
            result=f"{len(wrong)} wrong of {len(answers)}{_first(wrong)}",
            holds=bool(accepted) and not wrong,
        ),
        Bar(what="every 429 has Retry-After", result=f"{without_retry} without", holds=not without_retry),
        Bar(
            what=f"429 within {MAX_REFUSAL_S * 1000:.0f} ms",
            result=(
                f"{n_late} of {len(refused)} later, the last after {_ms(slowest_s)} ms, without the client's own "
                f"delays of up to {_ms(own_delay_s)} ms"
            ),
            holds=bool(refused) and not n_late,
        ),
        Bar(
            what=f"p95 of the accepted within {max_latency_s:.1f} s",
            result=NO_VALUE if p95_s is None else f"{p95_s:.1f} s",
            holds=p95_s is not None and p95_s <= max_latency_s,
        ),
    ]


def slow_upload_bar(fast: Sequence[Answer], slow: Sequence[Answer | None]) -> Bar:
    """Return whether a fast client was answered each time beside slow uploads, which must go on."""
    ended = [answer for answer in slow if answer is not None]
    served = sum(answer.status == 200 and not answer.error for answer in fast)
    return Bar(
        what=f"{len(slow)} slow uploads keep no fast client out",
        result=f"{served} of {len(fast)} requests served; {len(ended)} uploads ended early{_first(ended)}",
        holds=bool(fast) and served == len(fast) and not ended,
    )


def answer_row(name: str, answers: Sequence[Answer]) -> tuple[str, ...]:
    """Return a row of ANSWER_COLUMNS."""
    times = [answer.elapsed_s for answer in answers]
    return name, str(len(times)), *(_ms(percentile(times, percent)) for percent in _PERCENTS)


def _first(answers: Sequence[Answer]) -> str:
    """Return how many have which status, and the first error."""
    counts = Counter(str(answer.status) for answer in answers)
    error = next((answer.error for answer in answers if answer.error), None)
    shown = ", ".join(f"{n} × {status}" for status, n in sorted(counts.items()))
    return (f" ({shown})" if shown else "") + (f": {error}" if error else "")


def _ms(seconds: float | None) -> str:
    return NO_VALUE if seconds is None else f"{seconds * 1000:.0f}"
