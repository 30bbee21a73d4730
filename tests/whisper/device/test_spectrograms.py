"""Windows that come as waveforms are encoded as those whose spectrograms the host has made."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hf_asr_endpoint.transcription.spectrogram import ChunkSpectrogram
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import N_SAMPLES, SAMPLE_RATE
from hf_asr_endpoint.whisper.checkpoint.loader import WhisperCheckpoint
from hf_asr_endpoint.whisper.device.accelerator import HostAccelerator
from hf_asr_endpoint.whisper.device.spectrograms import DeviceSpectrograms
from hf_asr_endpoint.whisper.log_mel import Window, frames_of
from hf_asr_endpoint.whisper.speech_model import WhisperSpeechModel
from tests.parity.random_whisper import random_window
from tests.whisper.device.conftest import new_device_model
from tests.whisper.device.running import Text, assert_equal_rows, decode

pytestmark = pytest.mark.usefixtures("one_thread")

N_MELS = 8  # the random Whisper's


def noise(n_samples: int) -> Waveform:
    """Return noise that swells up to its end."""
    found = np.random.default_rng(n_samples).normal(0, 0.1, n_samples) * np.geomspace(1e-4, 1, n_samples)
    return found.astype(np.float32)


def windows(*, is_left_to_model: bool) -> list[Window]:
    """Return windows of every kind: two of one chunk, whole ones, ones that end early, one of silence."""
    lengths = (SAMPLE_RATE // 2, 123_457, N_SAMPLES - 150, N_SAMPLES)
    short, middle, nearly_full, full = (
        ChunkSpectrogram(noise(n_samples), n_mels=N_MELS, encoder_padding_s=1.0, is_left_to_model=is_left_to_model)
        for n_samples in lengths
    )
    silent = ChunkSpectrogram(
        np.zeros(9_000, np.float32), n_mels=N_MELS, encoder_padding_s=1.0, is_left_to_model=is_left_to_model
    )
    return [
        short.window(0.0, is_whole=False),
        middle.window(0.0, is_whole=False),
        middle.window(3.34, end_s=6.0, is_whole=False),
        middle.window(5.0, is_whole=True),
        nearly_full.window(0.0, is_whole=False),
        full.window(0.0, is_whole=False),
        full.window(12.0, is_whole=True),
        full.window(12.0, end_s=20.0, is_whole=True),
        silent.window(0.0, is_whole=False),
    ]


@pytest.mark.parametrize("n_together", [1, 4, 9])
def test_windows_have_the_frames_that_the_host_makes(n_together: int) -> None:
    """Whatever the length of the chunks that are analysed together."""
    analyse = DeviceSpectrograms(N_MELS, HostAccelerator(), torch.float32)
    given = windows(is_left_to_model=True)
    found = [mel for first in range(0, len(given), n_together) for mel in analyse(given[first:][:n_together])]
    assert [mel.shape[1] for mel in found] == [frames_of(window) for window in given]
    for mel, expected in zip(found, windows(is_left_to_model=False), strict=True):
        torch.testing.assert_close(mel, expected, atol=1e-5, rtol=0)


def test_frames_that_the_host_has_made_keep_their_places() -> None:
    analyse = DeviceSpectrograms(N_MELS, HostAccelerator(), torch.float16)
    waveforms, made = windows(is_left_to_model=True), random_window(0)
    first, second, third = analyse([waveforms[0], made, waveforms[1]])
    assert torch.equal(second, made.half())
    assert [mel.shape[1] for mel in (first, third)] == [frames_of(window) for window in waveforms[:2]]
    assert first.dtype == third.dtype == torch.float16


def test_windows_that_come_as_waveforms_get_the_hosts_tokens(
    random_checkpoint: WhisperCheckpoint, host_model: WhisperSpeechModel
) -> None:
    expected = decode(host_model, [Text(window=each) for each in windows(is_left_to_model=False)], slots=12)
    texts = [Text(window=each) for each in windows(is_left_to_model=True)]
    assert_equal_rows(decode(new_device_model(random_checkpoint), texts, slots=12), expected)
