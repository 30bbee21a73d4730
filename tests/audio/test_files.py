"""Decoders take any seekable file and read no more of it than they need."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable

import numpy as np
import pytest

from hf_asr_endpoint.audio.decode import decode_audio
from hf_asr_endpoint.audio.headerless import PcmFormat
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.tones import DATA, CountingFile, Samples, decode, write_ffmpeg, write_sound

MP3 = (DATA.parent / "jfk.mp3").read_bytes()
WAV = (DATA / "audio.wav").read_bytes()


class BareFile:
    """A file with nothing but read, seek and tell."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def make_noise(duration_s: float) -> Samples:
    """Return noise, which codecs hardly compress, shape = (n_samples, 1)."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (round(duration_s * SAMPLE_RATE), 1))
    return noise.astype(np.float32)


def write_mp3(samples: Samples) -> bytes:
    return write_ffmpeg(samples, SAMPLE_RATE, container="mp3", codec="libmp3lame", bit_rate=160_000)


def write_flac(samples: Samples) -> bytes:
    return write_sound(samples, SAMPLE_RATE, container="FLAC")


def write_wav(samples: Samples) -> bytes:
    return write_sound(samples, SAMPLE_RATE, subtype="PCM_16")


@pytest.mark.parametrize(
    "write",
    [pytest.param(write_wav, id="wav"), pytest.param(write_flac, id="flac"), pytest.param(write_mp3, id="mp3")],
)
def test_the_first_block_comes_before_the_file_is_read_to_its_end(write: Callable[[Samples], bytes]) -> None:
    data = write(make_noise(120))
    with CountingFile(data) as file:
        blocks = decode_audio(file)
        assert file.n_read == 0
        n_samples = len(next(blocks))
        assert n_samples < 30 * SAMPLE_RATE
        assert file.n_read < len(data) / 4
        n_samples += sum(len(block) for block in blocks)
        assert file.n_read >= len(data)
    assert n_samples == pytest.approx(120 * SAMPLE_RATE, abs=SAMPLE_RATE / 10)


@pytest.mark.parametrize("data", [pytest.param(WAV, id="wav"), pytest.param(MP3, id="mp3")])
def test_a_file_can_be_decoded_again_after_half_of_it(data: bytes) -> None:
    with io.BytesIO(data) as file:
        blocks = decode_audio(file)
        next(blocks)
        blocks.close()
        np.testing.assert_array_equal(np.concatenate(list(decode_audio(file))), decode(data))


def read_twice(data: bytes) -> Waveform:
    """Decode a file whose position is at its end."""
    with io.BytesIO(data) as file:
        list(decode_audio(file))
        return np.concatenate(list(decode_audio(file)))


def read_bare(data: bytes) -> Waveform:
    return np.concatenate(list(decode_audio(BareFile(data))))


def read_spooled(data: bytes) -> Waveform:
    return _read_temporary(data, max_bytes_in_memory=2 * len(data))


def read_rolled_over(data: bytes) -> Waveform:
    return _read_temporary(data, max_bytes_in_memory=1)


def _read_temporary(data: bytes, *, max_bytes_in_memory: int) -> Waveform:
    with tempfile.SpooledTemporaryFile(max_size=max_bytes_in_memory) as file:
        file.write(data)
        return np.concatenate(list(decode_audio(file)))


@pytest.mark.parametrize("data", [pytest.param(WAV, id="wav"), pytest.param(MP3, id="mp3")])
@pytest.mark.parametrize(
    "read",
    [
        pytest.param(read_twice, id="read before"),
        pytest.param(read_bare, id="only read, seek and tell"),
        pytest.param(read_spooled, id="spooled in memory"),
        pytest.param(read_rolled_over, id="spooled to disk"),
    ],
)
def test_any_seekable_file_is_decoded(read: Callable[[bytes], Waveform], data: bytes) -> None:
    np.testing.assert_array_equal(read(data), decode(data))


def test_a_file_is_read_from_its_beginning_whatever_its_position() -> None:
    with io.BytesIO(WAV) as file:
        file.seek(1_000)
        blocks = decode_audio(file, pcm=PcmFormat(sample_rate=8_000))
        np.testing.assert_array_equal(np.concatenate(list(blocks)), decode(WAV))
