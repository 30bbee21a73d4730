"""The spectrogram equals that of transformers' feature extractor, whatever the size of the blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from hf_asr_endpoint.audio.mel import MIRRORED, LogMelSpectrogram
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import HOP_LENGTH, N_FFT, N_SAMPLES, SAMPLE_RATE
from tests.audio.tones import DATA, decode

MEL_SIZES = [pytest.param(80, id="80 mels"), pytest.param(128, id="128 mels")]


def make_waveform(n_samples: int) -> Waveform:
    """Return noise that swells and fades, so that frames differ by more than the dynamic range."""
    noise = np.random.default_rng(n_samples).normal(0, 0.1, n_samples)
    return (noise * np.geomspace(1e-6, 1, n_samples)[::-1]).astype(np.float32)


def extract(waveform: Waveform, *, n_mels: int) -> np.ndarray:
    """Return transformers' features, shape = (n_mels, n_frames)."""
    extractor = WhisperFeatureExtractor(feature_size=n_mels)
    features = extractor(
        waveform, sampling_rate=SAMPLE_RATE, padding="longest", truncation=False, return_tensors="np"
    )
    return features.input_features[0]


def analyse(waveform: Waveform, *, n_mels: int, block_sizes: list[int]) -> torch.Tensor:
    """Push the waveform in blocks of the sizes given, over and over."""
    mel = LogMelSpectrogram(n_mels)
    begin, n_pushed = 0, 0
    while begin < len(waveform):
        size = block_sizes[n_pushed % len(block_sizes)]
        mel.push(waveform[begin : begin + size])
        begin, n_pushed = begin + size, n_pushed + 1
    assert mel.n_samples == len(waveform)
    return mel.finish()


@pytest.mark.parametrize("n_mels", MEL_SIZES)
@pytest.mark.parametrize(
    "n_samples",
    [
        pytest.param(MIRRORED + 1, id="the shortest"),
        pytest.param(N_FFT, id="one analysis frame"),
        pytest.param(N_FFT + HOP_LENGTH - 1, id="one sample short of a hop"),
        pytest.param(12_345, id="12345"),
        pytest.param(3 * SAMPLE_RATE, id="3 s"),
    ],
)
@pytest.mark.parametrize(
    "block_sizes",
    [
        pytest.param([10**9], id="one block"),
        pytest.param([1], id="single samples"),
        pytest.param(list(range(1, 78)), id="1 to 77 samples"),
        pytest.param([HOP_LENGTH], id="hops"),
        pytest.param([4_096, 0, 999], id="uneven blocks"),
    ],
)
def test_mel_equals_that_of_transformers(n_mels: int, n_samples: int, block_sizes: list[int]) -> None:
    waveform = make_waveform(n_samples)
    mel = analyse(waveform, n_mels=n_mels, block_sizes=block_sizes)
    assert mel.dtype == torch.float32
    assert mel.shape == (n_mels, n_samples // HOP_LENGTH)
    np.testing.assert_allclose(mel.numpy(), extract(waveform, n_mels=n_mels), atol=1e-5)


@pytest.mark.parametrize("n_mels", MEL_SIZES)
def test_mel_of_more_than_a_window_equals_that_of_transformers(n_mels: int) -> None:
    waveform = make_waveform(N_SAMPLES + SAMPLE_RATE)
    mel = analyse(waveform, n_mels=n_mels, block_sizes=[2**14 + 1])
    np.testing.assert_allclose(mel.numpy(), extract(waveform, n_mels=n_mels), atol=1e-5)


@pytest.mark.parametrize("n_mels", MEL_SIZES)
def test_mel_of_speech_equals_that_of_transformers(n_mels: int) -> None:
    waveform = decode((DATA / "audio.wav").read_bytes())
    mel = analyse(waveform, n_mels=n_mels, block_sizes=[1_000])
    np.testing.assert_allclose(mel.numpy(), extract(waveform, n_mels=n_mels), atol=1e-5)


def test_mel_of_silence_equals_that_of_transformers() -> None:
    waveform = np.zeros(SAMPLE_RATE, np.float32)
    mel = analyse(waveform, n_mels=80, block_sizes=[777])
    np.testing.assert_allclose(mel.numpy(), extract(waveform, n_mels=80), atol=1e-5)


@pytest.mark.parametrize("n_samples", [0, 1, MIRRORED])
def test_a_waveform_that_is_too_short_is_refused(n_samples: int) -> None:
    with pytest.raises(ValueError, match=f"{n_samples} samples; a spectrogram needs more than {MIRRORED}"):
        analyse(np.zeros(n_samples, np.float32), n_mels=80, block_sizes=[64])
