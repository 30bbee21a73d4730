"""Audio as a request holds it, encoded or sampled, and the reader that turns it into a waveform.

The reader owns the request's file and can be closed at any time. Knows no HTTP and no speech.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

from hf_asr_endpoint.audio.declared_length import DeclaredLength
from hf_asr_endpoint.audio.decode import decode_audio
from hf_asr_endpoint.audio.files import ClosableFile
from hf_asr_endpoint.audio.headerless import PcmFormat, WithAuHeader
from hf_asr_endpoint.audio.resample import WaveformConverter
from hf_asr_endpoint.audio.tracks import check_track
from hf_asr_endpoint.errors import AudioTooLong, InvalidAudio
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE

MAX_AMPLITUDE = 1e10
"""Some recorders write floats as large as integers, up to 2^31. The power of larger ones overflows float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedAudio:
    """Encoded bytes (wav, mp3, …) in a seekable file, which is read from its beginning.

    pcm: the format of bytes without a header; ignored if they have one.
    """

    file: BinaryIO
    pcm: PcmFormat | None = None

    def to_store(self) -> BinaryIO:
        """Return a stream to copy into a file that describes itself. Only `read` is sure to work."""
        return self.file if self.pcm is None else cast(BinaryIO, WithAuHeader(self.file, self.pcm))


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledAudio:
    """Samples that need no decoding, shape = (n_samples,) or (n_channels, n_samples), at any rate in Hz."""

    samples: npt.NDArray[np.float32]
    sample_rate: int


AudioSource = EncodedAudio | SampledAudio


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingOrder:
    """What `open_waveform` was given."""

    source: AudioSource
    max_audio_s: float
    audio_track: int | None


def open_waveform(source: AudioSource, *, max_audio_s: float, audio_track: int | None = None) -> WaveformReader:
    """Return the source's reader. It owns the source's file and reads nothing before it is iterated.

    audio_track: the index among the file's audio tracks, which is checked when the file is read; None chooses one.
    """
    order = ReadingOrder(source=source, max_audio_s=max_audio_s, audio_track=audio_track)
    if isinstance(source, SampledAudio):
        check_track(audio_track, n_tracks=1)
        # A rate that is impossible is refused when the samples are converted.
        seconds = source.samples.shape[-1] / max(source.sample_rate, 1)
        length = DeclaredLength(seconds=seconds, at_least_s=seconds)
        return WaveformReader(_resample(source), None, order=order, length=length)
    file, length = ClosableFile(source.file), DeclaredLength()
    blocks = decode_audio(file, pcm=source.pcm, audio_track=audio_track, length=length)
    return WaveformReader(blocks, file, order=order, length=length)


class WaveformReader:
    """An iterator over blocks of mono float32 at SAMPLE_RATE, each shape = (n_samples,); it can be read once.

    A block may be empty: it is a place where the consumer can stop. Iteration raises UnsupportedAudio or
    InvalidAudio, InvalidParameter for a track that the file lacks, AudioTooLong before the first block if the
    length is certain, else as soon as more than `max_audio_s` is decoded, and ValueError after `close`.
    """

    def __init__(
        self,
        blocks: Generator[Waveform],
        file: ClosableFile | None,
        *,
        order: ReadingOrder,
        length: DeclaredLength,
    ) -> None:
        self.order = order
        """For whoever reads the source elsewhere, instead of here."""
        self._blocks = _check(blocks, length, max_audio_s=order.max_audio_s)
        self._max_audio_s = order.max_audio_s
        self._length = length
        self._file = file
        self._is_closed = False
        self._in_use = threading.Lock()  # held while a block is decoded, and while the decoder is freed

    @property
    def declared_s(self) -> float | None:
        """How long the audio says it is, in seconds, at most `max_audio_s`; None before the first block, and for
        audio that does not say. It may be wrong."""
        seconds = self._length.seconds
        return None if seconds is None else min(seconds, self._max_audio_s)

    def __iter__(self) -> Iterator[Waveform]:
        return self

    def __next__(self) -> Waveform:
        try:
            with self._in_use:
                block = None if self._is_closed else next(self._blocks)
        except (StopIteration, InvalidAudio):
            if not self._is_cut_off:
                raise
            block = None  # The decoder found the file at its end because it was closed.
        finally:
            self._free_if_closed()
        if block is None or self._is_cut_off:
            raise ValueError("the waveform was closed while it was read")
        return block

    def close(self) -> None:
        """Free the decoder and close the source's file. Any thread may call it, at any time and more than once.

        It never waits. If another thread is decoding a block, the decoder finds the file at its end from now on,
        and that thread frees everything when it has finished the block.
        """
        self._is_closed = True
        if self._file is not None:
            self._file.end()
        self._free_if_closed()

    @property
    def _is_cut_off(self) -> bool:
        """Whether this reader was closed, or its file by somebody else."""
        return self._is_closed or (self._file is not None and self._file.has_ended)

    def _free_if_closed(self) -> None:
        # A thread that does not get the lock leaves the work to the thread that holds it, which comes here next.
        if self._is_closed and self._in_use.acquire(blocking=False):
            try:
                self._blocks.close()
                if self._file is not None:
                    self._file.close()
            finally:
                self._in_use.release()


def _resample(audio: SampledAudio) -> Generator[Waveform]:
    if audio.samples.size == 0:
        return
    samples = np.atleast_2d(audio.samples)  # (n_channels, n_samples)
    converter = WaveformConverter(audio.sample_rate, len(samples))
    for begin in range(0, samples.shape[1], audio.sample_rate):  # A second at a time, so that limits hold early.
        yield converter.push(samples[:, begin : begin + audio.sample_rate].T)
    yield converter.flush()


def _check(blocks: Generator[Waveform], length: DeclaredLength, *, max_audio_s: float) -> Generator[Waveform]:
    """Yield the blocks that are within the limits. Audio that is surely too long is refused at once."""
    n_samples = 0
    with closing(blocks):
        for block in blocks:
            n_samples += len(block)
            if length.at_least_s > max_audio_s or n_samples > max_audio_s * SAMPLE_RATE:
                raise AudioTooLong(
                    f"the audio is longer than {max_audio_s:g} s; allowed: at most {max_audio_s:g} s"
                )
            if not (np.abs(block) < MAX_AMPLITUDE).all():  # NaN is not below it either.
                raise InvalidAudio(
                    f"the audio has samples that are infinite or not a number, or above {MAX_AMPLITUDE:g}; "
                    "allowed: numbers, best from -1 to 1"
                )
            yield block
    if n_samples == 0:
        raise InvalidAudio(
            "the audio has no samples, or too few for one sample at 16,000 Hz; allowed: at least one"
        )
