"""The spectrogram equals that of transformers' feature extractor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import HOP_LENGTH, N_FFT, N_SAMPLES, SAMPLE_RATE
from hf_asr_endpoint.whisper.log_mel import MIRRORED, LogMel
from tests.audio.tones import DATA, decode
from tests.default_dtype import default_dtype

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


def analyse(waveform: Waveform, *, n_mels: int) -> torch.Tensor:
    return LogMel(n_mels)(torch.from_numpy(waveform)[None])[0]


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
def test_mel_equals_that_of_transformers(n_mels: int, n_samples: int) -> None:
    waveform = make_waveform(n_samples)
    mel = analyse(waveform, n_mels=n_mels)
    assert mel.dtype == torch.float32
    assert mel.shape == (n_mels, n_samples // HOP_LENGTH)
    np.testing.assert_allclose(mel.numpy(), extract(waveform, n_mels=n_mels), atol=1e-5)


@pytest.mark.parametrize("n_mels", MEL_SIZES)
def test_mel_of_more_than_a_window_equals_that_of_transformers(n_mels: int) -> None:
    waveform = make_waveform(N_SAMPLES + SAMPLE_RATE)
    mel = analyse(waveform, n_mels=n_mels)
    np.testing.assert_allclose(mel.numpy(), extract(waveform, n_mels=n_mels), atol=1e-5)


@pytest.mark.parametrize("n_mels", MEL_SIZES)
def test_mel_of_speech_equals_that_of_transformers(n_mels: int) -> None:
    waveform = decode((DATA / "audio.wav").read_bytes())
    mel = analyse(waveform, n_mels=n_mels)
    np.testing.assert_allclose(mel.numpy(), extract(waveform, n_mels=n_mels), atol=1e-5)


def test_mel_of_silence_equals_that_of_transformers() -> None:
    waveform = np.zeros(SAMPLE_RATE, np.float32)
    mel = analyse(waveform, n_mels=80)
    np.testing.assert_allclose(mel.numpy(), extract(waveform, n_mels=80), atol=1e-5)


def test_mel_does_not_depend_on_a_model_that_is_being_loaded() -> None:
    waveform = make_waveform(SAMPLE_RATE)
    expected = analyse(waveform, n_mels=80)
    with default_dtype(torch.bfloat16):
        mel = analyse(waveform, n_mels=80)
    torch.testing.assert_close(mel, expected, atol=0, rtol=0)


def test_waveforms_together_have_the_spectrograms_of_each_alone() -> None:
    """Each is normalised by its own loudest point."""
    waveforms = torch.stack([torch.from_numpy(make_waveform(8_000)) * gain for gain in (1.0, 0.01, 0.0)])
    together = LogMel(80)(waveforms)
    for waveform, mel in zip(waveforms, together, strict=True):
        torch.testing.assert_close(mel, LogMel(80)(waveform[None])[0], atol=1e-6, rtol=0)
