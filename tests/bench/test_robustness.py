"""The recordings that `make bench-robustness` makes, and how it counts errors."""

from __future__ import annotations

import numpy as np
import pytest

from bench.robustness.checks import PAUSE_S, pauses, silences
from bench.robustness.clips import RATE, SpokenClip, error_rate, loud_from_s
from bench.robustness.requesting import Answer, Question
from bench.robustness.sounds import SOUNDS


@pytest.mark.parametrize("name", SOUNDS)
def test_a_sound_lasts_as_long_as_asked_is_not_silent_and_depends_on_its_seed(name: str) -> None:
    first, again, other = (SOUNDS[name](12.0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (12 * RATE,)
    assert first.dtype == np.float32
    assert 0.001 < first.std() < 1
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_clip_is_loud_from_its_first_loud_frames_on() -> None:
    random = np.random.default_rng(0)
    wave = (random.standard_normal(2 * RATE) * 1e-3).astype(np.float32)
    wave[RATE // 2] = 1.0  # a click
    wave[RATE:] += np.sin(np.arange(RATE) / 5).astype(np.float32)
    assert loud_from_s(wave) == pytest.approx(1.0, abs=0.02)


def test_errors_are_counted_by_word_or_by_character() -> None:
    assert error_rate(["a b c d"], ["A, b x d!"], ["en"]) == 25
    assert error_rate(["绿是阳春"], ["绿是 阳冬"], ["zh"]) == 25
    assert error_rate(["a b", "c d"], ["a b", ""], ["en", "en"]) == 50


def clip(seconds: float) -> SpokenClip:
    wave = np.full(round(seconds * RATE), 0.1, np.float32)
    return SpokenClip(name="a", language="en", reference="one two three", waveform=wave, speech_start_s=0.0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Question]:
    """The questions asked. Every answer has three words, the last of them a second after the others."""
    questions: list[Question] = []

    def ask(url: str, new: list[Question]) -> list[Answer]:
        new = list(new)
        questions.extend(new)
        times = ((0.0, 1.0), (1.0, 2.0), (3.0, 4.0))
        words = [{"word": "a", "start": start, "end": end} for start, end in times]
        segments = [{"start": 0.2, "end": 4.0, "text": "one two three"}]
        return [Answer(text="one two three", language="english", segments=segments, words=words) for _ in new]

    monkeypatch.setattr("bench.robustness.checks.ask", ask)
    return questions


def test_silence_goes_before_the_clip_and_a_start_that_stays_is_a_fault(asked: list[Question]) -> None:
    report = silences("", [clip(5.0)])
    assert [len(question.waveform) / RATE for question in asked] == [5, 8, 15, 20]
    assert [row[-1] for row in report.rows] == ["1", "0", "0", "0"]
    assert len(report.faults) == 3


def test_the_pause_goes_into_the_widest_gap_of_the_second_half(asked: list[Question]) -> None:
    pauses("", [clip(9.0)])
    paused = asked[1].waveform
    assert len(paused) == round((9.0 + PAUSE_S) * RATE)
    is_hush = np.abs(paused) < 0.01
    assert np.flatnonzero(is_hush)[0] == pytest.approx(2.5 * RATE, abs=2)
    assert is_hush.sum() == pytest.approx(PAUSE_S * RATE, abs=2)
