"""Encoded and sampled audio becomes a waveform that is never longer than allowed."""

from __future__ import annotations

import io
import shutil

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from hf_asr_endpoint.audio.headerless import PcmFormat
from hf_asr_endpoint.audio.source import AudioSource, EncodedAudio, SampledAudio, open_waveform
from hf_asr_endpoint.errors import AudioTooLong, InvalidAudio, UnsupportedAudio
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.tones import (
    AMPLITUDE,
    DATA,
    DURATION_S,
    PITCH_HZ,
    CountingFile,
    amplitude,
    decode,
    make_tone,
    pitch_hz,
    write_sound,
)

TONE = make_tone(SAMPLE_RATE)[:, 0]
NO_LIMIT_S = 24 * 3600.0


def encoded(data: bytes, *, pcm: PcmFormat | None = None) -> EncodedAudio:
    return EncodedAudio(file=io.BytesIO(data), pcm=pcm)


def read(source: AudioSource, *, max_audio_s: float = NO_LIMIT_S) -> Waveform:
    return np.concatenate(list(open_waveform(source, max_audio_s=max_audio_s)))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param((DATA / "audio.wav").read_bytes(), id="wav"),
        pytest.param((DATA / "stereo.mp3").read_bytes(), id="mp3"),
    ],
)
def test_encoded_audio_is_decoded(data: bytes) -> None:
    np.testing.assert_array_equal(read(encoded(data)), decode(data))


def test_encoded_audio_is_read_as_the_caller_describes_it() -> None:
    data = (TONE * 32_767).astype(">i2").tobytes()
    waveform = read(encoded(data, pcm=PcmFormat(sample_rate=SAMPLE_RATE, byte_order="BIG")))
    np.testing.assert_allclose(waveform, TONE, atol=1e-4)


@pytest.mark.parametrize(
    ("dtype", "pcm"),
    [
        pytest.param("<i2", PcmFormat(sample_rate=8_000), id="little-endian"),
        pytest.param(">i2", PcmFormat(sample_rate=48_000), id="big-endian"),
        pytest.param("<i2", PcmFormat(sample_rate=8_000, byte_order="LITTLE", n_channels=2), id="stereo"),
        pytest.param("u1", PcmFormat(sample_rate=8_000, encoding="ULAW"), id="mu-law"),
        pytest.param("u1", PcmFormat(sample_rate=16_000, encoding="ALAW"), id="a-law"),
    ],
)
def test_stored_samples_describe_themselves(dtype: str, pcm: PcmFormat) -> None:
    data = (TONE * 127 if dtype == "u1" else TONE * 32_767).astype(dtype).tobytes()
    stored = io.BytesIO()
    shutil.copyfileobj(encoded(data, pcm=pcm).to_store(), stored, 1_000)
    np.testing.assert_array_equal(decode(stored.getvalue()), read(encoded(data, pcm=pcm)))


def test_a_stored_file_is_the_file() -> None:
    source = encoded(b"bytes")
    assert source.to_store() is source.file


def test_samples_at_16_khz_are_the_waveform() -> None:
    np.testing.assert_array_equal(read(SampledAudio(samples=TONE, sample_rate=SAMPLE_RATE)), TONE)


@pytest.mark.parametrize("sample_rate", [8_000, 44_100, 48_000])
@pytest.mark.parametrize("n_channels", [pytest.param(1, id="mono"), pytest.param(2, id="stereo")])
def test_samples_at_another_rate_are_converted(sample_rate: int, n_channels: int) -> None:
    samples = make_tone(sample_rate, gains=[1] * n_channels).T
    waveform = read(SampledAudio(samples=samples, sample_rate=sample_rate))
    assert waveform.dtype == np.float32
    assert len(waveform) == DURATION_S * SAMPLE_RATE
    assert pitch_hz(waveform) == pytest.approx(PITCH_HZ, abs=1)
    assert amplitude(waveform) == pytest.approx(AMPLITUDE, rel=0.001)


def test_channels_of_samples_are_averaged() -> None:
    samples = np.stack([np.full(100, 0.8, np.float32), np.full(100, -0.2, np.float32)])
    np.testing.assert_allclose(read(SampledAudio(samples=samples, sample_rate=SAMPLE_RATE)), 0.3, atol=1e-6)


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(np.zeros(0, np.float32), id="no sample"),
        pytest.param(np.zeros((2, 0), np.float32), id="two empty channels"),
        pytest.param(np.zeros((0, 100), np.float32), id="no channel"),
    ],
)
@pytest.mark.parametrize("sample_rate", [SAMPLE_RATE, 44_100])
def test_no_samples_are_invalid(samples: npt.NDArray[np.float32], sample_rate: int) -> None:
    with pytest.raises(InvalidAudio, match="no samples"):
        read(SampledAudio(samples=samples, sample_rate=sample_rate))


@pytest.mark.parametrize("sample_rate", [-1, 0, 999, 10**12])
def test_samples_at_an_impossible_rate_are_invalid(sample_rate: int) -> None:
    with pytest.raises(InvalidAudio, match=f"{sample_rate} Hz"):
        read(SampledAudio(samples=TONE, sample_rate=sample_rate))


def test_a_wav_without_samples_is_invalid() -> None:
    with pytest.raises(InvalidAudio):
        read(encoded(write_sound(TONE[:0], SAMPLE_RATE)))


def test_headerless_audio_without_samples_is_invalid() -> None:
    with pytest.raises(InvalidAudio, match="no samples"):
        read(encoded(b"", pcm=PcmFormat(sample_rate=SAMPLE_RATE)))


def test_text_is_unsupported() -> None:
    with pytest.raises(UnsupportedAudio):
        read(encoded(b"And so my fellow Americans"))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3e38], ids=str)
@pytest.mark.parametrize("others", [pytest.param((), id="mono"), pytest.param((0.1,), id="stereo")])
@pytest.mark.parametrize("sample_rate", [SAMPLE_RATE, 44_100])
def test_samples_that_are_not_numbers_are_invalid(
    value: float, others: tuple[float, ...], sample_rate: int
) -> None:
    samples = np.zeros((1_000, 1 + len(others)), np.float32)
    samples[500] = [value, *others]
    with pytest.raises(InvalidAudio, match="infinite or not a number"):
        read(encoded(write_sound(samples, sample_rate, subtype="FLOAT")))
    with pytest.raises(InvalidAudio, match="infinite or not a number"):
        read(SampledAudio(samples=samples.T, sample_rate=sample_rate))


def test_opposite_infinities_are_invalid() -> None:
    """The average of inf and -inf is NaN, and numpy warns about it.

    The warning appeared in the server's log and, where warnings are errors, replaced InvalidAudio.
    """
    samples = np.zeros((1_000, 2), np.float32)
    samples[500] = [np.inf, -np.inf]
    with pytest.raises(InvalidAudio, match="infinite or not a number"):
        read(encoded(write_sound(samples, SAMPLE_RATE, subtype="FLOAT")))


@pytest.mark.parametrize("sample_rate", [SAMPLE_RATE, 48_000])
def test_exactly_the_allowed_duration_is_allowed(sample_rate: int) -> None:
    data = write_sound(make_tone(sample_rate), sample_rate)
    assert len(read(encoded(data), max_audio_s=DURATION_S)) == DURATION_S * SAMPLE_RATE


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(encoded(write_sound(TONE, SAMPLE_RATE)), id="wav"),
        pytest.param(encoded(write_sound(TONE, SAMPLE_RATE, container="FLAC")), id="flac"),
        pytest.param(SampledAudio(samples=TONE, sample_rate=SAMPLE_RATE), id="samples"),
    ],
)
def test_one_sample_more_than_allowed_is_too_long(source: AudioSource) -> None:
    with pytest.raises(AudioTooLong, match=r"longer than 1\.99994 s; allowed: at most 1\.99994 s"):
        read(source, max_audio_s=DURATION_S - 1 / SAMPLE_RATE)


@pytest.fixture(scope="module")
def silent_hour() -> bytes:
    """An hour of silence: a flac of a few hundred kilobytes."""
    with io.BytesIO() as file:
        with soundfile.SoundFile(file, "w", SAMPLE_RATE, 1, format="FLAC") as flac:
            for _ in range(60):
                flac.write(np.zeros(60 * SAMPLE_RATE, np.float32))
        return file.getvalue()


def test_decoding_stops_when_the_audio_is_too_long(silent_hour: bytes) -> None:
    with CountingFile(silent_hour) as file:
        blocks = open_waveform(EncodedAudio(file=file), max_audio_s=10)
        lengths: list[int] = []
        with pytest.raises(AudioTooLong):
            lengths.extend(len(block) for block in blocks)
        assert 9 * SAMPLE_RATE < sum(lengths) <= 10 * SAMPLE_RATE
        assert file.n_read < len(silent_hour) / 2
