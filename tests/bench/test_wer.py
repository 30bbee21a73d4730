"""Word error rates over copies that sound the same."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.recordings import Clip
from bench.wer import Rates, difference, draw_of

CLIP = Clip(path=Path(__file__).parents[1] / "data" / "jfk.mp3", reference="and so my fellow americans")


def waveform(draw: int) -> np.ndarray:
    return soundfile.read(io.BytesIO(draw_of(CLIP, draw)), dtype="float32")[0]


def test_the_first_draw_is_the_recording_as_it_is() -> None:
    assert draw_of(CLIP, 0) == CLIP.path.read_bytes()


def test_copies_sound_the_same_and_are_the_same_in_each_run() -> None:
    one, other = waveform(1), waveform(2)
    assert np.array_equal(one, waveform(1))
    assert 0 < abs(len(one) - len(other)) < 0.02 * 16_000
    n = min(len(one), len(other))
    noise = np.abs(one[-n:] - other[-n:]).max() / np.abs(one).max()
    assert 0 < noise < 0.01


def test_a_difference_is_taken_draw_by_draw() -> None:
    assert difference([41.0, 42.0, 40.0], [40.0, 41.0, 39.0]) == "+1.00 ± 0.00"
    assert difference([41.0, 42.0], [40.0, 42.0]) == "+0.50 ± 0.50"
    assert difference([39.5], [40.0]) == "-0.50"


def test_a_row_has_the_recordings_as_they_are_and_the_mean() -> None:
    rates = Rates(n_clips=2, wers=[10.0, 11.0], speed=30.0)
    assert rates.row(rates) == ("2", "10.00", "10.50", "2", "+0.00 ± 0.00", "30.0")


def test_rates_of_another_number_of_draws_are_not_compared() -> None:
    with pytest.raises(ValueError, match="zip"):
        difference([1.0], [1.0, 2.0])
