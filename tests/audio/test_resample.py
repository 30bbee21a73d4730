"""Samples of any rate are converted to 16 kHz, whatever the size of the blocks."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from hf_asr_endpoint.audio.resample import MAX_SAMPLE_RATE, MIN_SAMPLE_RATE, WaveformConverter
from hf_asr_endpoint.errors import InvalidAudio
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE

EDGE = 200  # samples at either end, where a filter over the whole signal may differ


def make_noise(n_samples: int) -> Waveform:
    return np.random.default_rng(n_samples).uniform(-0.9, 0.9, n_samples).astype(np.float32)


def convert(signal: Waveform, sample_rate: int, *, block_sizes: list[int]) -> Waveform:
    """Push `signal` in blocks of the sizes given, over and over."""
    converter = WaveformConverter(sample_rate, 1)
    converted, begin, n_pushed = [], 0, 0
    while begin < len(signal):
        size = block_sizes[n_pushed % len(block_sizes)]
        converted.append(converter.push(signal[begin : begin + size, None]))
        begin, n_pushed = begin + size, n_pushed + 1
    return np.concatenate([*converted, converter.flush()])


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
def test_blocks_are_converted_like_the_whole_signal_by_librosa(sample_rate: int, block_sizes: list[int]) -> None:
    signal = make_noise(sample_rate)
    converted = convert(signal, sample_rate, block_sizes=block_sizes)
    expected = librosa.resample(signal, orig_sr=sample_rate, target_sr=SAMPLE_RATE, res_type="soxr_hq")
    assert converted.dtype == np.float32
    assert len(converted) == len(expected) == SAMPLE_RATE
    np.testing.assert_allclose(converted[EDGE:-EDGE], expected[EDGE:-EDGE], atol=1e-4)


def test_samples_at_16_khz_are_not_changed() -> None:
    signal = make_noise(1_000)
    np.testing.assert_array_equal(convert(signal, SAMPLE_RATE, block_sizes=[77]), signal)


@pytest.mark.parametrize("sample_rate", [8_000, 44_100, 192_000])
def test_the_result_does_not_depend_on_the_size_of_the_blocks(sample_rate: int) -> None:
    """FFmpeg's frames are gathered to larger blocks; not a bit of the waveform may change with them."""
    signal = make_noise(2 * sample_rate)
    np.testing.assert_array_equal(
        convert(signal, sample_rate, block_sizes=[sample_rate]), convert(signal, sample_rate, block_sizes=[1_152])
    )


def test_frequencies_above_8_khz_are_removed() -> None:
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
        WaveformConverter(sample_rate, 1)


@pytest.mark.parametrize("sample_rate", [MIN_SAMPLE_RATE, MAX_SAMPLE_RATE])
def test_the_lowest_and_the_highest_rate_are_allowed(sample_rate: int) -> None:
    n_converted = len(convert(make_noise(sample_rate // 10), sample_rate, block_sizes=[997]))
    assert n_converted == SAMPLE_RATE // 10
