"""Several channels become one: their average, whichever library reads them."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest

from hf_asr_endpoint.audio.resample import average_channels
from hf_asr_endpoint.errors import InvalidAudio
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.tones import AMPLITUDE, Samples, amplitude, decode, make_tone, pitch_hz, write_ffmpeg, write_sound

LOUD = 0.99 / AMPLITUDE  # the gain that brings a tone to nearly full scale


def write_wav(samples: Samples) -> bytes:
    return write_sound(samples, SAMPLE_RATE)


def write_flac(samples: Samples) -> bytes:
    return write_sound(samples, SAMPLE_RATE, container="FLAC")


def write_m4a(samples: Samples) -> bytes:
    return write_ffmpeg(samples, SAMPLE_RATE, container="ipod", codec="aac", bit_rate=128_000)


every_library = pytest.mark.parametrize(
    ("write", "relative"),
    [
        pytest.param(write_wav, 0.001, id="wav"),
        pytest.param(write_flac, 0.001, id="flac"),
        pytest.param(write_m4a, 0.05, id="m4a"),
    ],
)


@every_library
def test_equal_channels_are_no_louder_than_one(write: Callable[[Samples], bytes], relative: float) -> None:
    waveform = decode(write(make_tone(SAMPLE_RATE, gains=(LOUD, LOUD))))
    assert amplitude(waveform) == pytest.approx(0.99, rel=relative)
    assert np.abs(waveform).max() <= 1 + relative


@every_library
def test_a_channel_beside_silence_is_halved(write: Callable[[Samples], bytes], relative: float) -> None:
    waveform = decode(write(make_tone(SAMPLE_RATE, gains=(LOUD, 0))))
    assert amplitude(waveform) == pytest.approx(0.99 / 2, rel=relative)


@every_library
def test_different_channels_are_both_heard(write: Callable[[Samples], bytes], relative: float) -> None:
    left = make_tone(SAMPLE_RATE, gains=(LOUD, 0), pitch_hz=400)
    right = make_tone(SAMPLE_RATE, gains=(0, LOUD / 2), pitch_hz=1_000)
    waveform = decode(write(left + right))
    assert np.abs(waveform).max() <= 1
    assert pitch_hz(waveform) == pytest.approx(400, abs=1)
    # What is left of it once the louder one is taken out: the two powers add up.
    assert amplitude(waveform) == pytest.approx(0.99 * np.hypot(1 / 2, 1 / 4), rel=relative)


def test_opposite_channels_cancel_out() -> None:
    assert amplitude(decode(write_wav(make_tone(SAMPLE_RATE, gains=(1, -1))))) < 1e-4


def test_the_average_of_full_scale_stays_at_full_scale() -> None:
    loudest = np.finfo(np.float32).max
    assert average_channels(np.full((10, 2), loudest, np.float32)).tolist() == pytest.approx([loudest] * 10)


@pytest.mark.parametrize(
    ("container", "codec", "n_channels"),
    [
        pytest.param("flac", "flac", 8, id="flac, 8 channels"),
        pytest.param("mov", "pcm_s16le", 8, id="mov, 8 channels"),
        pytest.param("mov", "pcm_s16le", 16, id="mov, 16 channels"),
        pytest.param("matroska", "pcm_f32le", 24, id="mkv, 24 channels"),
    ],
)
def test_eight_channels_and_more_are_averaged(container: str, codec: str, n_channels: int) -> None:
    """FFmpeg's frames of 8 planes or more were turned into arrays by a loop that runs past the last of them.

    An ordinary 8-channel flac ended the whole server with a segmentation fault; frames are interleaved now.
    """
    samples = make_tone(SAMPLE_RATE, gains=[LOUD] + [0] * (n_channels - 1))
    data = write_ffmpeg(samples, SAMPLE_RATE, container=container, codec=codec)
    waveform = decode(data)
    assert pitch_hz(waveform) == pytest.approx(440, abs=1)
    assert amplitude(waveform) == pytest.approx(0.99 / n_channels, rel=0.01)


def test_more_channels_than_ffmpeg_converts_are_refused() -> None:
    """A voc file can claim 128 channels, which FFmpeg decodes but does not convert.

    Its error left the decoder untranslated, as if the server itself were at fault.
    """
    n_channels = 128
    samples = bytes(2 * n_channels * 100)
    block = struct.pack("<IBBHI", SAMPLE_RATE, 16, n_channels, 4, 0) + samples
    data = (
        b"Creative Voice File\x1a"
        + struct.pack("<HHH", 26, 0x114, 0x111F)
        + struct.pack("<B", 9)
        + len(block).to_bytes(3, "little")
        + block
    )
    with pytest.raises(InvalidAudio, match="128 channels"):
        decode(data)
