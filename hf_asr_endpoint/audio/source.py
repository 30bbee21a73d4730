"""Audio as a caller hands it in, and the one function that makes a waveform of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from hf_asr_endpoint.audio.decode import PcmFormat, decode_audio
from hf_asr_endpoint.audio.resample import Resampler, average_channels, check_rate_and_channels
from hf_asr_endpoint.errors import AudioTooLong, InvalidAudio
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE

MAX_AMPLITUDE = 1e10
"""Some recorders write floats as large as integers, up to 2^31; the power of much larger ones has no float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedAudio:
    """Encoded bytes (wav, mp3, …) in a seekable file, read from its beginning.

    pcm: what the caller says of bytes that carry no header of their own; never asked when they do.
    """

    file: BinaryIO
    pcm: PcmFormat | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledAudio:
    """Samples that need no decoding, shape = (n_samples,) or (n_channels, n_samples), at any rate in Hz."""

    samples: npt.NDArray[np.float32]
    sample_rate: int


AudioSource = EncodedAudio | SampledAudio


class WaveformReader:
    """A recording's waveform in blocks, decoded as they are asked for. Owns the source's file.

    Iterated once, and closed by whoever iterated last.
    """

    def __init__(self, source: AudioSource, *, max_audio_s: float) -> None:
        self._source = source
        self._max_audio_s = max_audio_s

    def __iter__(self) -> Iterator[Waveform]:
        """Yield blocks of mono float32 at SAMPLE_RATE, each shape = (n_samples,), some of them empty.

        An empty block is a place where the caller can stop. Raises UnsupportedAudio, InvalidAudio, or AudioTooLong
        as soon as more than `max_audio_s` is decoded.
        """
        source = self._source
        decoded = (
            _resample(source) if isinstance(source, SampledAudio) else decode_audio(source.file, pcm=source.pcm)
        )
        return _limit(decoded, max_audio_s=self._max_audio_s)

    def close(self) -> None:
        """Close the source's file."""
        if isinstance(self._source, EncodedAudio):
            self._source.file.close()


def _resample(audio: SampledAudio) -> Iterator[Waveform]:
    resampler = Resampler(audio.sample_rate)
    if audio.samples.size == 0:
        return
    samples = np.atleast_2d(audio.samples)  # (n_channels, n_samples)
    check_rate_and_channels(audio.sample_rate, len(samples))
    for begin in range(0, samples.shape[1], audio.sample_rate):  # A second at a time, so that limits hold early.
        yield resampler.push(average_channels(samples[:, begin : begin + audio.sample_rate].T))
    yield resampler.flush()


def _limit(blocks: Iterable[Waveform], *, max_audio_s: float) -> Iterator[Waveform]:
    n_samples = 0
    for block in blocks:
        n_samples += len(block)
        if n_samples > max_audio_s * SAMPLE_RATE:
            raise AudioTooLong(f"the audio is longer than {max_audio_s:g} s; allowed: at most {max_audio_s:g} s")
        if not (np.abs(block) < MAX_AMPLITUDE).all():  # Not a number compares false, too.
            raise InvalidAudio(
                f"the audio holds samples that are infinite or not a number, or above {MAX_AMPLITUDE:g}; "
                "allowed: numbers, best from -1 to 1"
            )
        yield block
    if n_samples == 0:
        raise InvalidAudio("the audio holds no samples, or too few for one at 16,000 Hz; allowed: at least one")
