"""Headers of wav files that do not tell the truth."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from hf_asr_endpoint.errors import InvalidAudio
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.tones import decode


def wav(
    *, tag: int = 1, n_channels: int = 1, rate: int = SAMPLE_RATE, n_bits: int = 16, n_bytes: int | None = None
) -> bytes:
    """Return 800 samples behind a header that may claim anything."""
    samples = (np.arange(800) * 10).astype("<i2").tobytes()
    n_frame_bytes = n_channels * n_bits // 8 & 0xFFFF
    fmt = struct.pack("<HHIIHH", tag, n_channels, rate, rate * n_frame_bytes & 0xFFFFFFFF, n_frame_bytes, n_bits)
    data = b"data" + struct.pack("<I", len(samples) if n_bytes is None else n_bytes) + samples
    return b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + data


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(wav(n_channels=0), id="no channel"),
        pytest.param(wav(n_channels=1_025), id="1025 channels"),
        pytest.param(wav(n_channels=65_535), id="65535 channels"),
        pytest.param(wav(rate=0), id="0 Hz"),
        pytest.param(wav(rate=1), id="1 Hz"),
        pytest.param(wav(rate=1_000_000), id="1 MHz"),
        pytest.param(wav(rate=2**32 - 1), id="4 GHz"),
        pytest.param(wav(tag=0x1234), id="a codec unheard of"),
        pytest.param(wav(n_bits=65_535), id="65535 bits"),
    ],
)
def test_a_wav_with_an_impossible_header_is_invalid(data: bytes) -> None:
    with pytest.raises(InvalidAudio) as caught:
        decode(data)
    assert caught.type is InvalidAudio


@pytest.mark.parametrize(
    "n_bytes",
    [
        pytest.param(0, id="zero"),
        pytest.param(2**31 - 1, id="2 GiB"),
        pytest.param(0x7FFFF000, id="sox"),
        pytest.param(2**32 - 1, id="4 GiB"),
    ],
)
def test_a_wav_that_was_piped_is_read_to_its_end(n_bytes: int) -> None:
    """Whoever writes a wav to a pipe cannot go back to fill in its length, and leaves 0 or the greatest there is.

    With 0 the recording was refused as one without samples; now FFmpeg reads it to the end of the file.
    """
    expected = (np.arange(800) * 10).astype(np.float32) / 2**15
    np.testing.assert_array_equal(decode(wav(n_bytes=n_bytes)), expected)


def test_1024_channels_are_read() -> None:
    n_channels, n_samples, rate = 1_024, 50, 1_600
    n_bytes = 2 * n_channels * n_samples
    data = wav(n_channels=n_channels, rate=rate, n_bytes=n_bytes).ljust(44 + n_bytes, b"\0")
    assert len(decode(data)) == n_samples * SAMPLE_RATE // rate
