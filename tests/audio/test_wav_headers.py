"""Wav files with wrong headers."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from hf_asr_endpoint.errors import InvalidAudio
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.tones import decode, write_sound


def wav(
    *, tag: int = 1, n_channels: int = 1, rate: int = SAMPLE_RATE, n_bits: int = 16, n_bytes: int | None = None
) -> bytes:
    """Return 800 samples after a header with any values."""
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
        pytest.param(wav(tag=0x1234), id="an unknown codec"),
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
    """A program that writes a wav to a pipe cannot go back to fill in its length; it writes 0 or the maximum.

    With 0 the recording was refused as empty; now FFmpeg reads it to the end of the file.
    """
    expected = (np.arange(800) * 10).astype(np.float32) / 2**15
    np.testing.assert_array_equal(decode(wav(n_bytes=n_bytes)), expected)


@pytest.mark.parametrize(
    ("rate", "n_channels", "is_allowed"),
    [
        pytest.param(192_000, 8, True, id="192 kHz, 8 channels"),
        pytest.param(768_000, 2, True, id="768 kHz, stereo"),
        pytest.param(16_000, 125, True, id="exactly the budget"),
        pytest.param(16_000, 126, False, id="one channel more"),
        pytest.param(655_350, 8, False, id="655 kHz, 8 channels"),
    ],
)
def test_rate_times_channels_has_a_budget(rate: int, n_channels: int, is_allowed: bool) -> None:
    """Silence compresses to nothing: a flac of 214 KB claimed 5 million samples a second for 10 minutes."""
    samples = np.zeros((rate // 100, n_channels), np.float32)
    containers = ["WAV", "FLAC"] if rate <= 655_350 and n_channels <= 8 else ["WAV"]
    for data in [write_sound(samples, rate, container=container) for container in containers]:
        if is_allowed:
            assert len(decode(data)) == SAMPLE_RATE // 100
        else:
            with pytest.raises(InvalidAudio, match=f"{rate * n_channels} samples a second .* at most 2000000"):
                decode(data)
