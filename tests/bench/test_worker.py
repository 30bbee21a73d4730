from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.peak_memory import peak_rss_mib
from bench.worker import Transcripts, first_line, measure


class RecordingEngine:
    """Returns the name of a file as its text, and records the files."""

    def __init__(self) -> None:
        self.paths: list[Path] = []

    def load(self) -> int:
        return os.getpid()

    def transcribe(self, path: Path) -> str:
        self.paths.append(path)
        return path.stem

    def close(self) -> None:
        pass


def test_one_clip_warms_up_before_the_measurement() -> None:
    engine = RecordingEngine()
    outcome = measure(engine, short=[Path("a.flac"), Path("b.flac")], long=Path("long.flac"))
    assert [path.stem for path in engine.paths] == ["a", "a", "b", "long"]
    assert isinstance(outcome.short, Transcripts)
    assert isinstance(outcome.long, Transcripts)
    assert (outcome.short.texts, outcome.long.texts) == (["a", "b"], ["long"])
    assert outcome.error is None


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux's /proc")
def test_peak_memory_of_this_process() -> None:
    assert (peak_rss_mib(os.getpid()) or 0.0) > 1.0


@pytest.mark.parametrize(
    ("error", "expected"),
    [(RuntimeError("\nno such file\nat line 1"), "no such file"), (MemoryError(), "MemoryError")],
    ids=["first line", "no text"],
)
def test_an_error_becomes_one_line(error: Exception, expected: str) -> None:
    assert first_line(error) == expected
