from __future__ import annotations

from dataclasses import replace

import pytest

from bench.load_result import LOAD_COLUMNS, LoadResult, Reply, load_row, percentile, summarise


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        pytest.param([4.0, 1.0, 3.0, 2.0, 5.0], 50, 3.0, id="median of unordered values"),
        pytest.param([1.0, 2.0], 95, 1.95, id="interpolated"),
        pytest.param([1.0, 9.0], 100, 9.0, id="maximum"),
        pytest.param([], 50, None, id="no values"),
    ],
)
def test_percentile(values: list[float], percent: float, expected: float | None) -> None:
    assert percentile(values, percent) == (expected if expected is None else pytest.approx(expected))


def test_failed_requests_count_only_as_errors() -> None:
    replies = [
        Reply(client=0, audio_s=6.0, latency_s=1.0, ttfb_s=0.5),
        Reply(client=0, audio_s=4.0, latency_s=3.0, ttfb_s=1.5),
        Reply(client=1, audio_s=10.0, latency_s=2.0, ttfb_s=1.0),
        Reply(client=2, audio_s=99.0, latency_s=0.1, error="HTTP 429: busy"),
    ]
    result = summarise(replies, n_clients=3, elapsed_s=4.0)
    assert (result.audio_s_per_s, result.requests_per_s) == (5.0, 0.75)
    assert (result.p50_s, result.max_s, result.ttfb_p50_s) == (2.0, 3.0, 1.0)
    assert (result.n_errors, result.first_error) == (1, "HTTP 429: busy")
    assert (result.min_requests, result.max_requests) == (0, 2)


def test_times_are_none_without_a_successful_request() -> None:
    result = summarise([Reply(client=0, audio_s=1.0, latency_s=1.0, error="no")], n_clients=1, elapsed_s=1.0)
    assert result.audio_s_per_s == 0.0
    assert (result.p50_s, result.p95_s, result.max_s, result.ttfb_p50_s) == (None, None, None, None)


def test_a_row_shows_fairness_and_the_ratio_of_rates() -> None:
    ours = LoadResult(
        n_clients=4,
        audio_s_per_s=20.0,
        requests_per_s=2.0,
        p50_s=1.0,
        p95_s=2.0,
        max_s=2.5,
        ttfb_p50_s=0.25,
        n_errors=0,
        first_error=None,
        min_requests=9,
        max_requests=11,
    )
    peer = replace(ours, audio_s_per_s=8.0, ttfb_p50_s=None)
    row = load_row("peer", peer, ours=ours)
    assert row == ("4", "peer", "8.0", "2.50", "2.00", "1.00", "2.00", "2.50", "–", "0", "9 … 11")
    assert len(row) == len(LOAD_COLUMNS)
