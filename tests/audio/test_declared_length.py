"""How long a file says it is, which is known with its first block."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import soundfile

from hf_asr_endpoint.audio.headerless import PcmFormat
from hf_asr_endpoint.audio.source import AudioSource, EncodedAudio, SampledAudio, WaveformReader, open_waveform
from hf_asr_endpoint.errors import AudioTooLong

N_SAMPLES = 40_000


N_LONG = 30 * 16_000
"""Samples that are not decoded in one block."""


def encoded(container: str, *, subtype: str | None = None, n_samples: int = N_SAMPLES) -> io.BytesIO:
    file = io.BytesIO()
    tone = 0.1 * np.sin(np.arange(n_samples) * 2 * np.pi * 440 / 16_000)
    soundfile.write(file, tone, 16_000, format=container, subtype=subtype)
    file.seek(0)
    return file


def read_first(source: AudioSource, *, max_audio_s: float = 100.0) -> WaveformReader:
    reader = open_waveform(source, max_audio_s=max_audio_s)
    assert isinstance(source, SampledAudio) or reader.declared_s is None, "nothing has been read"
    next(reader)
    return reader


@pytest.mark.parametrize("container", ["WAV", "FLAC", "MP3", "OGG"])
def test_a_file_declares_its_length(container: str) -> None:
    reader = read_first(EncodedAudio(file=encoded(container)))
    assert reader.declared_s == pytest.approx(N_SAMPLES / 16_000, abs=0.1)
    reader.close()


def test_samples_without_a_header_are_as_long_as_their_file() -> None:
    source = EncodedAudio(file=io.BytesIO(bytes(2 * N_SAMPLES)), pcm=PcmFormat(sample_rate=8_000))
    reader = read_first(source)
    assert reader.declared_s == N_SAMPLES / 8_000
    reader.close()


def test_an_array_has_its_length() -> None:
    reader = read_first(SampledAudio(samples=np.zeros((2, 8_000), np.float32), sample_rate=4_000))
    assert reader.declared_s == 2


def test_no_file_declares_more_than_the_server_would_read() -> None:
    """A file that lies would keep others out until it ends."""
    reader = open_waveform(EncodedAudio(file=encoded("FLAC")), max_audio_s=2.0)
    with contextlib.suppress(AudioTooLong):
        next(reader)
    assert reader.declared_s == 2.0
    reader.close()


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(EncodedAudio(file=encoded("WAV", n_samples=N_LONG)), id="wav"),
        pytest.param(EncodedAudio(file=encoded("AIFF", n_samples=N_LONG)), id="aiff"),
        pytest.param(EncodedAudio(file=encoded("CAF", subtype="FLOAT", n_samples=N_LONG)), id="caf of floats"),
        pytest.param(EncodedAudio(file=encoded("AU", subtype="ULAW", n_samples=N_LONG)), id="au of mu-law"),
        pytest.param(
            EncodedAudio(file=io.BytesIO(bytes(2 * N_LONG)), pcm=PcmFormat(sample_rate=16_000)), id="no header"
        ),
        pytest.param(
            SampledAudio(samples=np.zeros(N_LONG, np.float32), sample_rate=16_000), id="an array of samples"
        ),
    ],
)
def test_plain_samples_that_are_too_many_are_refused_before_the_first(source: AudioSource) -> None:
    """Silence compresses so well that hours of it are a small request."""
    reader = open_waveform(source, max_audio_s=20.0)
    with pytest.raises(AudioTooLong, match=r"longer than 20 s"):
        next(reader)


def test_a_header_that_lies_refuses_nothing() -> None:
    data = bytearray(encoded("WAV").getvalue())
    data[40:44] = b"\xff" * 4  # the size of the samples
    reader = open_waveform(EncodedAudio(file=io.BytesIO(bytes(data))), max_audio_s=N_SAMPLES / 16_000)
    assert sum(len(block) for block in reader) == N_SAMPLES
