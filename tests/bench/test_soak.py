from __future__ import annotations

import pytest

from bench.soak.client import UnexpectedResponse
from bench.soak.driving import FirstTexts
from bench.soak.evaluation import (
    KIND_COLUMNS,
    Request,
    error_bar,
    kind_rows,
    log_bar,
    memory_bar,
    quarter_means,
)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        pytest.param([1.0, 3.0, 10.0, 20.0, 5.0, 5.0, 7.0, 9.0], (2.0, 15.0, 5.0, 8.0), id="two in each quarter"),
        pytest.param([1.0, 2.0, 3.0, 4.0, 5.0], (1.0, 2.0, 3.5, 5.0), id="not a multiple of 4"),
        pytest.param([1.0, 2.0, 3.0], None, id="fewer than 4"),
    ],
)
def test_the_mean_of_each_quarter(samples: list[float], expected: tuple[float, ...] | None) -> None:
    assert quarter_means(samples) == expected


@pytest.mark.parametrize(
    ("samples", "holds"),
    [
        pytest.param([50.0, 100.0, 100.0, 104.0], True, id="the first quarter does not count"),
        pytest.param([100.0, 100.0, 100.0, 106.0], False, id="growth"),
        pytest.param([100.0, 100.0, 100.0, 94.0], False, id="the same the other way round"),
        pytest.param([], False, id="not measured"),
    ],
)
def test_the_last_quarter_has_the_memory_of_the_second(samples: list[float], holds: bool) -> None:
    assert memory_bar(samples).holds is holds


def test_one_error_is_too_many() -> None:
    good, bad = Request(kind="job", latency_s=1.0), Request(kind="job", latency_s=1.0, error="status 500")
    assert error_bar([good]).holds
    assert not error_bar([good, bad]).holds
    assert not error_bar([]).holds


def test_an_error_in_the_log_is_shown() -> None:
    lines = "2026-01-01 00:00:00,000 INFO api: ERROR is a word\n2026-01-01 00:00:01,000 ERROR engine: it failed\n"
    bar = log_bar(lines)
    assert (bar.holds, bar.result) == (False, "1; 2026-01-01 00:00:01,000 ERROR engine: it failed")
    assert log_bar(lines.splitlines()[0]).holds


def test_a_row_for_each_kind_and_one_for_all() -> None:
    requests = [
        Request(kind="stream", latency_s=2.0),
        Request(kind="job", latency_s=1.0),
        Request(kind="job", latency_s=9.0, error="status 500"),
    ]
    rows = kind_rows(requests)
    assert rows == [
        ("job", "2", "1", "1.00", "1.00"),
        ("stream", "1", "0", "2.00", "2.00"),
        ("all", "3", "1", "1.50", "1.95"),
    ]
    assert all(len(row) == len(KIND_COLUMNS) for row in rows)


def test_a_text_that_differs_from_the_first_is_an_error() -> None:
    texts = FirstTexts()
    texts.check("raw", "a.flac", "one")
    texts.check("raw", "b.flac", "two")
    texts.check("raw", "a.flac", "one")
    with pytest.raises(UnexpectedResponse, match=r"a\.flac: first 'one', now 'two'"):
        texts.check("raw", "a.flac", "two")
