from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from hf_asr_endpoint.transcription.spectrogram import LENGTH_STEP, ChunkSpectrogram, SpectrogramMaker
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import HOP_LENGTH, N_FRAMES, N_SAMPLES, SAMPLE_RATE

PADDING_S = 6.0


def make_waveform(n_samples: int) -> Waveform:
    """Return noise that swells and fades, so that frames differ by more than the dynamic range."""
    noise = np.random.default_rng(n_samples).normal(0, 0.1, n_samples)
    return (noise * np.geomspace(1e-6, 1, max(n_samples, 1))[:n_samples]).astype(np.float32)


def extract(waveform: Waveform, *, n_mels: int = 80) -> torch.Tensor:
    """Return what transformers makes of it, padded to a window of 30 s."""
    extractor = WhisperFeatureExtractor(feature_size=n_mels)
    return extractor(waveform, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features[0]


def spectrogram(waveform: Waveform, *, n_mels: int = 80, encoder_padding_s: float = PADDING_S) -> ChunkSpectrogram:
    return ChunkSpectrogram(waveform, n_mels=n_mels, encoder_padding_s=encoder_padding_s, length_step=LENGTH_STEP)


LENGTHS = [
    pytest.param(1, id="a sample"),
    pytest.param(HOP_LENGTH, id="a frame"),
    pytest.param(SAMPLE_RATE + 1, id="a second"),
    pytest.param(123_457, id="7.7 s"),
    pytest.param(N_SAMPLES - 6 * SAMPLE_RATE, id="just room for the padding"),
    pytest.param(N_SAMPLES - SAMPLE_RATE, id="29 s"),
    pytest.param(N_SAMPLES - 1, id="nearly 30 s"),
    pytest.param(N_SAMPLES, id="30 s"),
]


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("n_samples", LENGTHS)
def test_a_whole_window_equals_that_of_transformers(n_samples: int, n_mels: int) -> None:
    waveform = make_waveform(n_samples)
    window = spectrogram(waveform, n_mels=n_mels).window(0.0, is_whole=True)
    assert window.shape == (n_mels, N_FRAMES)
    torch.testing.assert_close(window, extract(waveform, n_mels=n_mels), atol=1e-5, rtol=0)


@pytest.mark.parametrize("n_samples", LENGTHS)
def test_a_cut_window_is_the_beginning_of_the_whole_one(n_samples: int) -> None:
    chunk = spectrogram(make_waveform(n_samples))
    window = chunk.window(0.0, is_whole=False)
    n_audio = -(-n_samples // HOP_LENGTH)
    assert window.shape[1] == chunk.n_frames(0.0)
    assert window.shape[1] % LENGTH_STEP == 0
    assert min(n_audio + 600, N_FRAMES) <= window.shape[1] < n_audio + 600 + LENGTH_STEP
    whole = chunk.window(0.0, is_whole=True)
    torch.testing.assert_close(window, whole[:, : window.shape[1]], atol=0, rtol=0)


def test_padding_of_30_s_is_a_whole_window() -> None:
    chunk = spectrogram(make_waveform(SAMPLE_RATE), encoder_padding_s=30.0)
    torch.testing.assert_close(chunk.window(0.0, is_whole=False), chunk.window(0.0, is_whole=True), atol=0, rtol=0)


@pytest.mark.parametrize("begin_s", [0.02, 1.0, 3.34, 7.7])
def test_a_later_window_begins_at_its_frame(begin_s: float) -> None:
    waveform = make_waveform(123_457)
    chunk = spectrogram(waveform)
    begin = round(begin_s * 100)
    whole, cut = chunk.window(begin_s, is_whole=True), chunk.window(begin_s, is_whole=False)
    assert whole.shape == (80, N_FRAMES)
    expected = extract(waveform)[:, begin:]
    torch.testing.assert_close(whole[:, : N_FRAMES - begin], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(whole[:, N_FRAMES - begin :], expected[:, -1:].expand(-1, begin), atol=1e-5, rtol=0)
    torch.testing.assert_close(cut, whole[:, : cut.shape[1]], atol=0, rtol=0)
    assert cut.shape[1] == chunk.n_frames(begin_s) == LENGTH_STEP * -(-(772 - begin + 600) // LENGTH_STEP)


@pytest.mark.parametrize("begin_s", [0.0, 0.01, 0.03, 12.345, 29.99])
@pytest.mark.parametrize("n_samples", [SAMPLE_RATE + 77, 400_000, N_SAMPLES])
def test_window_lengths_are_multiples_of_the_step_and_include_the_padding(n_samples: int, begin_s: float) -> None:
    chunk = spectrogram(make_waveform(n_samples), encoder_padding_s=1.01)
    n_frames = chunk.window(begin_s, is_whole=False).shape[1]
    assert n_frames % LENGTH_STEP == 0
    n_left = max(0.0, n_samples / HOP_LENGTH - begin_s * 100)
    assert min(n_left + 100 - 2, N_FRAMES) <= n_frames <= n_left + 100 + 4 + LENGTH_STEP


def test_a_window_is_normalised_over_its_chunk() -> None:
    """A later, quieter window is normalised as it was in the chunk: what transformers' long form does too."""
    loud = np.concatenate([make_waveform(SAMPLE_RATE), make_waveform(SAMPLE_RATE) * 1e-3])
    quiet_within = spectrogram(loud).window(1.0, is_whole=True)
    quiet_alone = spectrogram(loud[SAMPLE_RATE:]).window(0.0, is_whole=True)
    assert not torch.allclose(quiet_within[:, :90], quiet_alone[:, :90], atol=0.1)


@pytest.mark.parametrize("is_left_to_model", [False, True])
def test_another_process_gets_the_same_windows_without_a_copy(is_left_to_model: bool) -> None:
    waveform = np.random.default_rng(0).normal(size=10 * SAMPLE_RATE).astype(np.float32)
    maker = SpectrogramMaker(n_mels=80, encoder_padding_s=4.0, is_left_to_model=is_left_to_model)
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(maker(waveform), protocol=5, buffer_callback=buffers.append)
    assert len(pickled) < 1000
    received = pickle.loads(pickled, buffers=[bytearray(buffer) for buffer in buffers])
    for is_whole in (False, True):
        window, expected = (one.window(1.0, is_whole=is_whole) for one in (received, maker(waveform)))
        if is_left_to_model:
            assert window.cut == expected.cut
            window, expected = window.waveform, expected.waveform
        assert torch.equal(window, expected)
