"""Frames of FFmpeg to the waveform: mono float32 at SAMPLE_RATE, in blocks of about a second. Knows no files."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
import av.error
import numpy as np

from hf_asr_endpoint.audio.resample import WaveformConverter
from hf_asr_endpoint.errors import InvalidAudio
from hf_asr_endpoint.types import Waveform

MAX_GATHERED_FRAMES = 64
"""Frames that become one block: 1 to 2 s of most codecs. Tiny frames must not hold up the consumer."""

_TIME_BASE = Fraction(1, 1)


class FrameGatherer:
    """Gathers frames of one sample format, channel layout and rate to blocks of about a second, and converts them.

    Gathering saves the conversion's overhead for each frame, most of the work for silence. Channels are averaged
    here, because FFmpeg's own downmix to float adds them up beyond full scale.
    """

    def __init__(self, frame: av.AudioFrame) -> None:
        self._format = _frame_format(frame)
        self._n_channels = frame.layout.nb_channels
        self._converter = WaveformConverter(frame.sample_rate, self._n_channels)
        self._block_samples = frame.sample_rate
        self._fifo = av.AudioFifo()
        self._n_frames = 0  # in the fifo
        # Interleaved, because PyAV's to_ndarray reads past the planes of a planar frame with 8 channels or more.
        self._to_float = av.AudioResampler(format="flt")

    def takes(self, frame: av.AudioFrame) -> bool:
        return _frame_format(frame) == self._format

    def push(self, frame: av.AudioFrame, *, cut_s: float = 0.0) -> Iterator[Waveform]:
        """Take a frame. cut_s: what is left out at its beginning."""
        n_cut = round(cut_s * frame.sample_rate)
        if n_cut >= frame.samples:
            return
        frame.pts, frame.time_base = None, _TIME_BASE  # The fifo refuses gaps and changes in a stream's times.
        if n_cut > 0:
            yield self._convert(self._fifo.samples)
            self._fifo.write(frame)
            self._fifo.read(n_cut)
        else:
            self._fifo.write(frame)
        self._n_frames += 1
        while self._fifo.samples >= self._block_samples:
            yield self._convert(self._block_samples)
        if self._n_frames >= MAX_GATHERED_FRAMES:
            yield self._convert(self._fifo.samples)

    def push_silence(self, duration_s: float) -> Iterator[Waveform]:
        """Append silence, a second at a time, so that limits hold early."""
        yield self._convert(self._fifo.samples)
        n_left = round(duration_s * self._block_samples)
        while n_left > 0:
            n_samples = min(n_left, self._block_samples)
            yield self._converter.push_silence(n_samples)
            n_left -= n_samples

    def flush(self) -> Iterator[Waveform]:
        yield self._convert(self._fifo.samples)
        yield self._converter.flush()

    def _convert(self, n_samples: int) -> Waveform:
        self._n_frames = 0
        frame = self._fifo.read(n_samples) if n_samples else None
        if frame is None:
            return np.zeros(0, np.float32)
        try:
            parts = [part.to_ndarray()[0] for part in self._to_float.resample(frame)]  # (n_samples × n_channels,)
        except av.error.FFmpegError as exc:
            raise InvalidAudio(
                f"the audio's {self._n_channels} channels of {frame.format.name} samples cannot be converted: "
                f"{reason_of(exc)}"
            ) from exc
        return self._converter.push(np.concatenate(parts).reshape(-1, self._n_channels))


def _frame_format(frame: av.AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def reason_of(exc: Exception) -> str:
    """Return what went wrong, without the file's name."""
    return getattr(exc, "strerror", None) or str(exc)
