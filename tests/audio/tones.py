"""Tones of known pitch and amplitude, written to any container, and measured after decoding."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import soundfile

from hf_asr_endpoint.audio.decode import decode_audio
from hf_asr_endpoint.audio.headerless import PcmFormat
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE

DATA = Path(__file__).parents[1] / "data" / "audio"

PITCH_HZ = 440.0
AMPLITUDE = 0.5
DURATION_S = 2.0

Samples = npt.NDArray[np.float32]


class CountingFile(io.BytesIO):
    """Bytes in memory that count how many are read."""

    n_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.n_read += len(data)
        return data

    def readinto(self, buffer: bytearray | memoryview, /) -> int:
        n_bytes = super().readinto(buffer)
        self.n_read += n_bytes
        return n_bytes


def make_tone(
    sample_rate: int,
    *,
    gains: Sequence[float] = (1.0,),
    duration_s: float = DURATION_S,
    pitch_hz: float = PITCH_HZ,
) -> Samples:
    """Return a tone in every channel, each with its gain, shape = (n_samples, n_channels)."""
    times_s = np.arange(round(duration_s * sample_rate)) / sample_rate
    tone = AMPLITUDE * np.sin(2 * np.pi * pitch_hz * times_s)
    return np.outer(tone, gains).astype(np.float32)


def write_sound(
    samples: Samples, sample_rate: int, *, container: str = "WAV", subtype: str | None = None
) -> bytes:
    """Encode samples, shape = (n_samples, n_channels), with libsndfile."""
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format=container, subtype=subtype)
    return file.getvalue()


def write_ffmpeg(
    samples: Samples,
    sample_rate: int,
    *,
    container: str,
    codec: str,
    file: io.BytesIO | Path | None = None,
    bit_rate: int | None = None,
    with_picture: bool = False,
    options: Mapping[str, str] | None = None,
) -> bytes:
    """Encode samples, shape = (n_samples, n_channels), with FFmpeg. file: a path if FFmpeg has to read it back."""
    file = io.BytesIO() if file is None else file
    layout = av.AudioLayout(_LAYOUTS[samples.shape[1]])
    with av.open(file, "w", format=container, options=dict(options or {})) as output:
        picture = output.add_stream("mpeg4", rate=1, width=32, height=32) if with_picture else None
        stream = output.add_stream(codec, rate=sample_rate, layout=layout)
        if bit_rate is not None:
            stream.bit_rate = bit_rate
        if picture is not None:
            output.mux([*picture.encode(av.VideoFrame(32, 32, "yuv420p")), *picture.encode(None)])
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts = sample_rate, 0
        converter = av.AudioResampler(stream.format, layout, sample_rate)
        for part in [*converter.resample(frame), *converter.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return file.getvalue() if isinstance(file, io.BytesIO) else file.read_bytes()


_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1", 16: "hexadecagonal", 24: "22.2"}


def decode(data: bytes, *, pcm: PcmFormat | None = None) -> Waveform:
    """Return the whole waveform, and check the form of each block."""
    with io.BytesIO(data) as file:
        blocks = list(decode_audio(file, pcm=pcm))
    assert {(block.ndim, block.dtype) for block in blocks} == {(1, np.dtype(np.float32))}
    return np.concatenate(blocks)


def pitch_hz(waveform: Waveform) -> float:
    """Return the loudest frequency, to the nearest bin of the spectrum."""
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return float(np.argmax(spectrum) * SAMPLE_RATE / len(waveform))


def amplitude(waveform: Waveform) -> float:
    """Return the amplitude of a tone, measured in its middle, where no encoder fades it."""
    middle = waveform[len(waveform) // 4 : -len(waveform) // 4]
    return float(np.sqrt(2 * np.mean(middle**2)))
