"""Samples without a header are read as the caller describes them, if the bytes are of no known container."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from hf_asr_endpoint.audio.headerless import ByteOrder, Encoding, PcmFormat, find_byte_order
from hf_asr_endpoint.errors import InvalidAudio
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.tones import (
    AMPLITUDE,
    DATA,
    DURATION_S,
    PITCH_HZ,
    amplitude,
    decode,
    make_tone,
    pitch_hz,
    write_ffmpeg,
    write_sound,
)

TONE = make_tone(44_100, duration_s=0.5)


@pytest.mark.parametrize(
    ("byte_order", "dtype"), [pytest.param("LITTLE", "<i2", id="little"), pytest.param("BIG", ">i2", id="big")]
)
@pytest.mark.parametrize("n_channels", [pytest.param(1, id="mono"), pytest.param(2, id="stereo")])
@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 48_000])
def test_samples_are_read_as_described(
    sample_rate: int, n_channels: int, byte_order: ByteOrder, dtype: str
) -> None:
    samples = make_tone(sample_rate, gains=[1] * n_channels)
    pcm = PcmFormat(sample_rate=sample_rate, n_channels=n_channels, byte_order=byte_order)
    waveform = decode((samples * 32_767).astype(dtype).tobytes(), pcm=pcm)
    assert len(waveform) == DURATION_S * SAMPLE_RATE
    assert pitch_hz(waveform) == pytest.approx(PITCH_HZ, abs=1)
    assert amplitude(waveform) == pytest.approx(AMPLITUDE, rel=0.001)


@pytest.mark.parametrize(("encoding", "subtype"), [("ULAW", "ULAW"), ("ALAW", "ALAW")])
@pytest.mark.parametrize("sample_rate", [8_000, 16_000])
def test_g711_is_read(encoding: Encoding, subtype: str, sample_rate: int) -> None:
    tone = make_tone(sample_rate)
    file = io.BytesIO()
    soundfile.write(file, tone, sample_rate, format="RAW", subtype=subtype)
    waveform = decode(file.getvalue(), pcm=PcmFormat(sample_rate=sample_rate, encoding=encoding))
    assert len(waveform) == DURATION_S * SAMPLE_RATE
    assert pitch_hz(waveform) == pytest.approx(PITCH_HZ, abs=1)
    assert amplitude(waveform) == pytest.approx(AMPLITUDE, rel=0.02)


SPEECH = decode((DATA.parent / "533-1066-0006.flac").read_bytes())


@pytest.mark.parametrize("dtype", [pytest.param("<i2", id="little"), pytest.param(">i2", id="big")])
@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(SPEECH * 32_767, id="speech"),
        pytest.param(SPEECH * 100, id="quiet speech"),
        pytest.param(np.random.default_rng(0).integers(-40, 40, 16_000), id="quiet noise"),
        pytest.param(np.concatenate([np.zeros(300_000), SPEECH * 32_767]), id="behind silence"),
    ],
)
def test_the_samples_tell_the_order_of_their_bytes(
    samples: npt.NDArray[np.float64], n_channels: int, dtype: str
) -> None:
    rounded = np.repeat(samples.astype(np.int16), n_channels)
    waveform = decode(rounded.astype(dtype).tobytes(), pcm=PcmFormat(sample_rate=16_000, n_channels=n_channels))
    np.testing.assert_array_equal(waveform, samples.astype(np.int16) / np.float32(2**15))


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0", bytes(5_000_000)], ids=len)
def test_samples_that_tell_nothing_are_little_endian(data: bytes) -> None:
    with io.BytesIO(data) as file:
        assert find_byte_order(file, n_channels=1) == "LITTLE"
        assert file.tell() == 0


def test_recorded_samples_are_those_of_the_wav_they_were_taken_from() -> None:
    raw = decode((DATA / "audio.raw").read_bytes(), pcm=PcmFormat(sample_rate=16_000))
    np.testing.assert_array_equal(raw, decode((DATA / "audio.wav").read_bytes())[: len(raw)])


def test_half_a_sample_at_the_end_is_ignored() -> None:
    data = np.arange(1_000, dtype="<i2").tobytes()
    waveform = decode(data + b"\x01", pcm=PcmFormat(sample_rate=SAMPLE_RATE))
    np.testing.assert_array_equal(waveform, np.arange(1_000, dtype=np.float32) / 2**15)


@pytest.mark.parametrize("first", [-1, -2, -5, -8, -15])
@pytest.mark.parametrize(
    ("byte_order", "dtype"), [pytest.param("LITTLE", "<i2", id="little"), pytest.param("BIG", ">i2", id="big")]
)
def test_a_quiet_beginning_is_not_recognised_as_mp3(first: int, byte_order: ByteOrder, dtype: str) -> None:
    """The sample -1 is the bytes ff ff, with which frames of MPEG audio begin as well.

    A recording with such a beginning was passed to the mp3 decoder and refused as damaged.
    """
    samples = np.random.default_rng(-first).integers(-40, 40, SAMPLE_RATE)
    samples[0] = first
    pcm = PcmFormat(sample_rate=SAMPLE_RATE, byte_order=byte_order)
    np.testing.assert_array_equal(decode(samples.astype(dtype).tobytes(), pcm=pcm), samples / np.float32(2**15))


NO_TAGS = {"id3v2_version": "0", "write_xing": "0"}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(write_sound(TONE, 44_100), id="wav"),
        pytest.param(write_sound(TONE, 44_100, container="FLAC"), id="flac"),
        pytest.param(write_ffmpeg(TONE, 44_100, container="ogg", codec="flac"), id="ogg"),
        pytest.param(write_ffmpeg(TONE, 44_100, container="ipod", codec="aac"), id="m4a"),
        pytest.param(write_ffmpeg(TONE, 44_100, container="mp3", codec="libmp3lame"), id="mp3"),
        pytest.param(
            write_ffmpeg(TONE, 44_100, container="mp3", codec="libmp3lame", options=NO_TAGS), id="mp3 without tags"
        ),
        pytest.param(write_ffmpeg(TONE, 44_100, container="mp2", codec="mp2"), id="mp2"),
        pytest.param(write_ffmpeg(TONE, 44_100, container="adts", codec="aac"), id="aac"),
        pytest.param((DATA / "adts-mpeg4-2.aac").read_bytes(), id="recorded aac"),
    ],
)
def test_the_description_is_ignored_if_the_bytes_have_a_header(data: bytes) -> None:
    np.testing.assert_array_equal(decode(data, pcm=PcmFormat(sample_rate=8_000, n_channels=2)), decode(data))


@pytest.mark.parametrize(
    ("sample_rate", "n_channels"),
    [
        pytest.param(0, 1, id="no rate"),
        pytest.param(999, 1, id="rate too low"),
        pytest.param(768_001, 1, id="rate too high"),
        pytest.param(10**12, 1, id="rate beyond 32 bits"),
        pytest.param(16_000, 0, id="no channel"),
        pytest.param(16_000, 1_025, id="too many channels"),
        pytest.param(16_000, 10**12, id="channels beyond 32 bits"),
    ],
)
def test_an_impossible_description_is_refused(sample_rate: int, n_channels: int) -> None:
    """A media type may contain any number, and libsndfile takes 32 bits.

    A larger number raised OverflowError, which the client received as an internal error.
    """
    with pytest.raises(InvalidAudio, match="1000 to 768000 Hz"):
        decode(bytes(4_000), pcm=PcmFormat(sample_rate=sample_rate, n_channels=n_channels))
