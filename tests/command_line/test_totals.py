"""How far all recordings are: shares by bytes, speed in audio, and the time left."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from hf_asr_endpoint.command_line.transcribe.inputs import Recording
from hf_asr_endpoint.command_line.transcribe.outputs import Work
from hf_asr_endpoint.command_line.transcribe.reporter import clock, describe_rate
from hf_asr_endpoint.command_line.transcribe.totals import Outcome, Totals
from hf_asr_endpoint.types import Progress


def work(name: str, n_bytes: int) -> Work:
    path = Path(name)
    return Work(recording=Recording(path=path, relative=path, n_bytes=n_bytes, open=io.BytesIO), targets=())


def test_shares_are_those_of_bytes_and_a_late_report_counts_nothing() -> None:
    now_s = 100.0
    small, large = work("small", 100), work("large", 300)
    totals = Totals([small, large], now=lambda: now_s)
    now_s = 110.0
    totals.start()
    totals.begin(small)
    totals.begin(large)
    assert totals.remaining_s is None
    now_s = 120.0
    totals.advance(large, Progress(done_s=30.0, length_s=90.0))
    assert totals.fraction == 0.25
    assert totals.remaining_s == pytest.approx(30.0)
    assert describe_rate(totals) == "3.0 × real time, 0:30 left"
    totals.end(large, Outcome(audio_s=91.0))
    totals.advance(large, Progress(done_s=30.0, length_s=90.0))
    assert (totals.fraction, totals.audio_s, totals.n_ended) == (0.75, 91.0, 1)
    totals.end(small, Outcome(error="broken"))
    assert totals.failures == [(small, "broken")]
    assert totals.fraction == 1.0


@pytest.mark.parametrize(("seconds", "shown"), [(0.4, "0:00"), (59.6, "1:00"), (3661, "1:01:01")])
def test_a_clock_has_hours_only_where_there_are_some(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown
