from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import date
from pathlib import Path

import pytest

from bench.plot import draw
from bench.report import Measurement, SetResult
from bench.results import Results

RESULTS = Results(
    title="whisper-base & greedy",
    processor="A processor",
    day=date(2026, 11, 29),
    baseline="ours",
    measurements=(
        Measurement(label="ours", long=SetResult(rtfx=30.0, wer=9.0), short=SetResult(rtfx=10.0, wer=8.0)),
        Measurement(label="<peer>", long=SetResult(rtfx=15.0, wer=9.5), short=SetResult(rtfx=5.0, wer=8.0)),
        Measurement(label="broken", error="no such dtype"),
    ),
)
SVG = "{http://www.w3.org/2000/svg}"


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    RESULTS.write(tmp_path / "results.json")
    assert Results.read(tmp_path / "results.json") == RESULTS


def test_bars_are_as_long_as_the_rates_and_ours_stands_out() -> None:
    bars = ET.fromstring(draw(RESULTS)).findall(f"{SVG}rect")
    ours_long, peer_long, ours_short, peer_short = (float(bar.attrib["width"]) for bar in bars)
    assert ours_long / peer_long == pytest.approx(2.0)
    assert ours_short / peer_short == pytest.approx(2.0)
    assert [bar.attrib["class"] for bar in bars] == ["ours", "", "ours", ""]


def test_names_and_figures_can_be_read_and_failed_engines_are_left_out() -> None:
    texts = ["".join(text.itertext()) for text in ET.fromstring(draw(RESULTS)).findall(f"{SVG}text")]
    assert {"ours", "<peer>", "30.0WER 9.0", "15.0WER 9.5", "5.0WER 8.0"} <= set(texts)
    assert "broken" not in texts
