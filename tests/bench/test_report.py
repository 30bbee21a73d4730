from __future__ import annotations

import pytest

from bench.report import COLUMNS, Measurement, SetResult, fastest, ratio, rows

OURS = Measurement(
    label="ours",
    long=SetResult(rtfx=30.0, wer=9.0),
    short=SetResult(rtfx=10.0, wer=8.0),
    peak_rss_mib=511.6,
)
PEER = Measurement(label="peer", long=SetResult(rtfx=20.0, wer=9.54), short=SetResult(rtfx=5.0, wer=8.0))
BROKEN = Measurement(label="broken", error="no such dtype")


def test_rows_compare_rates_with_the_baseline() -> None:
    assert rows([OURS, PEER], baseline=OURS) == [
        ("ours", "30.0", "1.00", "10.0", "1.00", "9.0", "8.0", "512"),
        ("peer", "20.0", "1.50", "5.0", "2.00", "9.5", "8.0", "–"),
    ]


def test_a_failed_engine_is_a_row_with_its_error() -> None:
    (row,) = rows([BROKEN], baseline=OURS)
    assert row[0] == "broken\n  failed: no such dtype"
    assert set(row[1:]) == {"–"}
    assert len(row) == len(COLUMNS)


@pytest.mark.parametrize("baseline", [None, BROKEN], ids=["not run", "failed"])
def test_without_a_baseline_there_are_no_ratios(baseline: Measurement | None) -> None:
    (row,) = rows([PEER], baseline=baseline)
    assert row == ("peer", "20.0", "–", "5.0", "–", "9.5", "8.0", "–")


def test_fastest_returns_the_highest_rate_on_the_long_file() -> None:
    assert fastest([PEER, OURS, BROKEN]) is OURS
    assert fastest([BROKEN]) is BROKEN


@pytest.mark.parametrize(
    ("ours", "this", "expected"),
    [(3.0, 2.0, "1.50"), (3.0, None, "–"), (None, 2.0, "–"), (3.0, 0.0, "–")],
)
def test_ratio(ours: float | None, this: float | None, expected: str) -> None:
    assert ratio(ours, this) == expected
