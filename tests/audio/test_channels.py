"""Channels are averaged, whichever library reads them."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

import numpy as np
import pytest

from hf_asr_endpoint.audio.channels import average_channels
from hf_asr_endpoint.errors import InvalidAudio
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.tones import AMPLITUDE, Samples, amplitude, decode, make_tone, pitch_hz, write_ffmpeg, write_sound

LOUD = 0.99 / AMPLITUDE  # gain that brings a tone to nearly full scale


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
def test_a_channel_next_to_a_silent_one_is_as_loud_as_it_is_there(
    write: Callable[[Samples], bytes], relative: float
) -> None:
    waveform = decode(write(make_tone(SAMPLE_RATE, gains=(LOUD, 0))))
    assert amplitude(waveform) == pytest.approx(0.99, rel=relative)


@every_library
def test_different_channels_are_both_in_the_average(write: Callable[[Samples], bytes], relative: float) -> None:
    left = make_tone(SAMPLE_RATE, gains=(LOUD, 0), pitch_hz=400)
    right = make_tone(SAMPLE_RATE, gains=(0, LOUD / 2), pitch_hz=1_000)
    waveform = decode(write(left + right))
    assert np.abs(waveform).max() <= 1
    assert pitch_hz(waveform) == pytest.approx(400, abs=1)
    # The powers of the two tones add up.
    assert amplitude(waveform) == pytest.approx(0.99 * np.hypot(1 / 2, 1 / 4), rel=relative)


@pytest.mark.parametrize("gain", [pytest.param(-1.0, id="equal"), pytest.param(-0.5, id="half as loud")])
@every_library
def test_opposite_channels_do_not_cancel_out(
    write: Callable[[Samples], bytes], relative: float, gain: float
) -> None:
    waveform = decode(write(make_tone(SAMPLE_RATE, gains=(1, gain))))
    assert amplitude(waveform) == pytest.approx(AMPLITUDE * (1 - gain) / 2, rel=relative)


@pytest.mark.parametrize("n_channels", [pytest.param(1, id="mono"), pytest.param(2, id="stereo")])
def test_the_average_of_mono_and_stereo_is_exact(n_channels: int) -> None:
    rng = np.random.default_rng(n_channels)
    for scale in (1e-30, 1.0, 1e30):
        samples = (rng.uniform(-1, 1, (10_000, n_channels)) * scale).astype(np.float32)
        exact = samples.astype(np.float64).mean(axis=1)
        np.testing.assert_allclose(average_channels(samples), exact, rtol=2**-23)


@pytest.mark.parametrize("n_channels", [3, 4, 5, 6, 8, 24, 100])
def test_the_average_of_more_channels_is_exact_to_two_units_of_the_loudest(n_channels: int) -> None:
    samples = np.random.default_rng(n_channels).uniform(-1, 1, (10_000, n_channels)).astype(np.float32)
    exact = samples.astype(np.float64).mean(axis=1)
    unit = np.spacing(np.abs(samples).max(axis=1))
    assert (np.abs(average_channels(samples) - exact) / unit).max() <= 2


def test_averaging_uses_one_core() -> None:
    """A matrix product with numpy's BLAS takes every core of the machine, also those that run the model."""
    samples = np.zeros((2**18, 6), np.float32)
    average_channels(samples)
    cpu_began, thread_began = time.process_time(), time.thread_time()
    for _ in range(50):
        average_channels(samples)
    n_cpu_s, n_thread_s = time.process_time() - cpu_began, time.thread_time() - thread_began
    assert n_cpu_s < 1.2 * n_thread_s


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
        pytest.param("wv", "wavpack", 16, id="wavpack, 16 channels, planar"),
    ],
)
def test_one_of_eight_channels_and_more_is_as_loud_as_it_is_there(
    container: str, codec: str, n_channels: int
) -> None:
    """PyAV's conversion of planar frames reads beyond the last plane if there are 8 or more.

    An ordinary 8-channel flac ended the server with a segmentation fault; frames are interleaved first now.
    """
    samples = make_tone(SAMPLE_RATE, gains=[LOUD] + [0] * (n_channels - 1))
    data = write_ffmpeg(samples, SAMPLE_RATE, container=container, codec=codec)
    waveform = decode(data)
    assert pitch_hz(waveform) == pytest.approx(440, abs=1)
    assert amplitude(waveform) == pytest.approx(0.99, rel=0.01)


@pytest.mark.parametrize(
    ("sample_rate", "message"),
    [
        pytest.param(8_000, "128 channels of s16 samples cannot be converted", id="not convertible"),
        pytest.param(16_000, "128 channels at 16000 Hz, 2048000 samples", id="more than the budget"),
    ],
)
def test_too_many_channels_for_ffmpeg_are_invalid(sample_rate: int, message: str) -> None:
    """A voc file can claim 128 channels, which FFmpeg decodes but does not convert.

    The error reached the client as an internal error of the server.
    """
    n_channels = 128
    samples = bytes(2 * n_channels * 100)
    block = struct.pack("<IBBHI", sample_rate, 16, n_channels, 4, 0) + samples
    data = (
        b"Creative Voice File\x1a"
        + struct.pack("<HHH", 26, 0x114, 0x111F)
        + struct.pack("<B", 9)
        + len(block).to_bytes(3, "little")
        + block
    )
    with pytest.raises(InvalidAudio, match=message):
        decode(data)
