"""Channels and sample rate of a stream to what Whisper hears, block by block."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

from hf_asr_endpoint.errors import InvalidAudio
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE

MIN_SAMPLE_RATE = 1_000  # Hz
MAX_SAMPLE_RATE = 768_000  # Hz: the highest that recorders write; a damaged header claims more


MAX_VALUES_PER_S = 2_000_000
"""Samples × channels in a second of audio: 8 channels at 192 kHz fit. More would take too long to decode."""


def check_rate_and_channels(sample_rate: int, n_channels: int) -> None:
    """Raise InvalidAudio for more values a second than MAX_VALUES_PER_S."""
    if sample_rate * n_channels > MAX_VALUES_PER_S:
        raise InvalidAudio(
            f"the audio has {n_channels} channels at {sample_rate} Hz, {sample_rate * n_channels} values a "
            f"second; allowed: {MAX_VALUES_PER_S}"
        )


def average_channels(samples: npt.NDArray[np.float32]) -> Waveform:
    """Mix samples, shape = (n_samples, n_channels), to one channel that is no louder than the loudest of them."""
    n_channels = samples.shape[1]
    weights = np.full(n_channels, 1 / n_channels, np.float32)
    with np.errstate(invalid="ignore"):  # inf - inf is NaN here, which WaveformReader refuses.
        mono: Waveform = samples @ weights
    return mono


class Resampler:
    """Converts mono float32 blocks from `sample_rate` to SAMPLE_RATE by librosa's default method, soxr's HQ.

    librosa itself resamples whole signals only; soxr keeps the filter's state between blocks.
    Raises InvalidAudio for a rate that no recorder writes.
    """

    def __init__(self, sample_rate: int) -> None:
        if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
            raise InvalidAudio(
                f"the audio's sample rate is {sample_rate} Hz; allowed: {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz"
            )
        self.sample_rate = sample_rate
        self._stream = (
            None if sample_rate == SAMPLE_RATE else soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, quality="HQ")
        )

    def push(self, block: Waveform) -> Waveform:
        """Take samples at `sample_rate`, return those that are finished at SAMPLE_RATE (maybe none)."""
        return block if self._stream is None else self._convert(block, last=False)

    def flush(self) -> Waveform:
        """Return what the filter still holds. Nothing can be pushed after it."""
        empty = np.zeros(0, np.float32)
        return empty if self._stream is None else self._convert(empty, last=True)

    def _convert(self, block: Waveform, *, last: bool) -> Waveform:
        assert self._stream is not None
        converted: Waveform = self._stream.resample_chunk(block, last=last)
        return converted
