"""Any rate to 16 kHz, in blocks as if at once."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from hf_asr_endpoint.audio.resample import MAX_SAMPLE_RATE, MIN_SAMPLE_RATE, Resampler
from hf_asr_endpoint.errors import InvalidAudio
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE

EDGE = 200  # samples at either end, where a filter that has seen the whole signal may differ


def make_noise(n_samples: int) -> Waveform:
    return np.random.default_rng(n_samples).uniform(-0.9, 0.9, n_samples).astype(np.float32)


def convert(signal: Waveform, sample_rate: int, *, block_sizes: list[int]) -> Waveform:
    """Push `signal` in blocks of the sizes given, over and over."""
    resampler = Resampler(sample_rate)
    converted, begin, n_pushed = [], 0, 0
    while begin < len(signal):
        size = block_sizes[n_pushed % len(block_sizes)]
        converted.append(resampler.push(signal[begin : begin + size]))
        begin, n_pushed = begin + size, n_pushed + 1
    return np.concatenate([*converted, resampler.flush()])


@pytest.mark.parametrize(
    "sample_rate", [MIN_SAMPLE_RATE, 8_000, 11_025, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000]
)
@pytest.mark.parametrize(
    "block_sizes",
    [
        pytest.param([10**9], id="one block"),
        pytest.param([4_096], id="equal blocks"),
        pytest.param([1, 7, 160, 1_152, 0, 33], id="uneven blocks"),
    ],
)
def test_blocks_are_converted_as_the_whole_signal_is_by_librosa(sample_rate: int, block_sizes: list[int]) -> None:
    signal = make_noise(sample_rate)
    converted = convert(signal, sample_rate, block_sizes=block_sizes)
    expected = librosa.resample(signal, orig_sr=sample_rate, target_sr=SAMPLE_RATE, res_type="soxr_hq")
    assert converted.dtype == np.float32
    assert len(converted) == len(expected) == SAMPLE_RATE
    np.testing.assert_allclose(converted[EDGE:-EDGE], expected[EDGE:-EDGE], atol=1e-4)


def test_the_rate_wanted_passes_through_unchanged() -> None:
    signal = make_noise(1_000)
    resampler = Resampler(SAMPLE_RATE)
    assert resampler.push(signal) is signal
    assert len(resampler.flush()) == 0


def test_what_lies_above_8_khz_is_filtered_out() -> None:
    times_s = np.arange(48_000) / 48_000
    converted = convert(np.sin(2 * np.pi * 10_000 * times_s).astype(np.float32), 48_000, block_sizes=[4_800])
    assert np.abs(converted[EDGE:-EDGE]).max() < 1e-4


def test_a_signal_shorter_than_the_filter_keeps_its_length() -> None:
    assert len(convert(make_noise(30), 48_000, block_sizes=[30])) == 10


@pytest.mark.parametrize(
    "sample_rate", [-16_000, 0, 1, MIN_SAMPLE_RATE - 1, MAX_SAMPLE_RATE + 1, 2**31, 10**30], ids=str
)
def test_a_rate_out_of_range_is_refused(sample_rate: int) -> None:
    with pytest.raises(InvalidAudio, match=f"{sample_rate} Hz; allowed: 1000 to 768000 Hz"):
        Resampler(sample_rate)


@pytest.mark.parametrize("sample_rate", [MIN_SAMPLE_RATE, MAX_SAMPLE_RATE])
def test_the_limits_are_allowed(sample_rate: int) -> None:
    n_converted = len(convert(make_noise(sample_rate // 10), sample_rate, block_sizes=[997]))
    assert n_converted == SAMPLE_RATE // 10
