"""Samples of any rate and number of channels to Whisper's input: one channel at SAMPLE_RATE.

Knows no files and no codecs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

from hf_asr_endpoint.audio.channels import ChannelMixer
from hf_asr_endpoint.errors import InvalidAudio
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE

MIN_SAMPLE_RATE = 1_000  # Hz
MAX_SAMPLE_RATE = 768_000  # Hz: the highest that recorders write; damaged headers claim more

MAX_VALUES_PER_S = 2_000_000
"""Sample rate × channels: 192 kHz in 8 channels are allowed. A second of audio costs as much as it has values, but
silence compresses to nothing: without a limit, a file of 200 KB claims 10 minutes of 5 million values a second."""


class WaveformConverter:
    """Mixes the channels of blocks of samples to one and converts it to SAMPLE_RATE.

    Rates are converted by librosa's default method, soxr's HQ. librosa itself converts whole signals only; soxr
    keeps the filter's state between blocks, so the result does not depend on the size of the blocks.
    """

    def __init__(self, sample_rate: int, n_channels: int) -> None:
        """Raise InvalidAudio for a rate that no recorder writes, or for more than MAX_VALUES_PER_S."""
        if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
            raise InvalidAudio(
                f"the audio's sample rate is {sample_rate} Hz; allowed: {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz"
            )
        if sample_rate * n_channels > MAX_VALUES_PER_S:
            raise InvalidAudio(
                f"the audio has {n_channels} channels at {sample_rate} Hz, {sample_rate * n_channels} samples "
                f"a second in all channels together; allowed: at most {MAX_VALUES_PER_S}"
            )
        self._mixer = ChannelMixer(sample_rate, n_channels)
        is_converted = sample_rate != SAMPLE_RATE
        self._stream = soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, quality="HQ") if is_converted else None

    def push(self, samples: npt.NDArray[np.float32]) -> Waveform:
        """Convert samples, shape = (n_samples, n_channels). The last ones are returned by a later call."""
        return self._convert(self._mixer.push(samples), is_last=False)

    def push_silence(self, n_samples: int) -> Waveform:
        """Append silence, in samples of the converter's input."""
        silence = np.zeros(n_samples, np.float32)
        return self._convert(np.concatenate([self._mixer.flush(), silence]), is_last=False)

    def flush(self) -> Waveform:
        """Return the samples that the filter still holds. Nothing can be pushed afterwards."""
        return self._convert(self._mixer.flush(), is_last=True)

    def _convert(self, mono: Waveform, *, is_last: bool) -> Waveform:
        if self._stream is None:
            return mono
        converted: Waveform = self._stream.resample_chunk(mono, last=is_last)
        return converted
