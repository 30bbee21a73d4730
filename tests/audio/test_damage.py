"""Of recordings that are cut off or damaged, everything readable is decoded."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from hf_asr_endpoint.audio.decode import decode_audio
from hf_asr_endpoint.audio.ffmpeg import MAX_DAMAGED_IN_A_ROW
from hf_asr_endpoint.errors import InvalidAudio
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.tones import DATA, CountingFile, decode, make_tone, write_ffmpeg, write_sound

SPEECH = DATA.parent


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(SPEECH / "jfk.mp3", id="mp3"),
        pytest.param(SPEECH / "533-1066-0006.flac", id="flac"),
        pytest.param(SPEECH / "fleurs-de-005.ogg", id="ogg"),
        pytest.param(DATA / "vorbis.webm", id="webm"),
        pytest.param(DATA / "audio.wav", id="wav"),
        pytest.param(DATA / "stereo.sph", id="nist sphere"),
        pytest.param(DATA / "M1F1-AlawC-AFsp.aif", id="aiff"),
    ],
)
@pytest.mark.parametrize("fraction", [0.3, 0.8])
def test_a_recording_that_is_cut_off_is_decoded_up_to_there(path: Path, fraction: float) -> None:
    data = path.read_bytes()
    whole, part = decode(data), decode(data[: int(fraction * len(data))])
    assert len(part) == pytest.approx(fraction * len(whole), abs=0.15 * len(whole))
    n_equal = len(part) - SAMPLE_RATE // 10  # The resampler's filter ends with the file.
    np.testing.assert_allclose(part[:n_equal], whole[:n_equal], atol=1e-5)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(
            write_ffmpeg(make_tone(44_100, duration_s=10), 44_100, container="wv", codec="wavpack"), id="wavpack"
        ),
        pytest.param(
            write_ffmpeg(make_tone(44_100, duration_s=10), 44_100, container="tta", codec="tta"), id="tta"
        ),
    ],
)
def test_audio_before_the_cut_is_decoded_if_the_container_fails_there(data: bytes) -> None:
    whole, part = decode(data), decode(data[: len(data) // 2])
    assert 0.3 * len(whole) < len(part) < 0.6 * len(whole)
    np.testing.assert_allclose(part[: SAMPLE_RATE * 2], whole[: SAMPLE_RATE * 2], atol=1e-5)


def test_a_fragmented_mp4_that_is_cut_off_is_decoded_up_to_there() -> None:
    options = {"movflags": "frag_keyframe+empty_moov", "frag_duration": "200000"}
    data = write_ffmpeg(make_tone(SAMPLE_RATE), SAMPLE_RATE, container="mp4", codec="aac", options=options)
    whole, part = decode(data), decode(data[: len(data) // 2])
    assert 0.3 * len(whole) < len(part) < 0.7 * len(whole)
    np.testing.assert_array_equal(part, whole[: len(part)])


M4A = write_ffmpeg(make_tone(SAMPLE_RATE), SAMPLE_RATE, container="ipod", codec="aac", bit_rate=64_000)
FLAC = write_sound(make_tone(SAMPLE_RATE), SAMPLE_RATE, container="FLAC")
MP3 = (SPEECH / "jfk.mp3").read_bytes()


def damage_the_middle(data: bytes) -> bytes:
    middle, n_bytes = len(data) // 2, len(data) // 20
    return data[:middle] + np.random.default_rng(0).bytes(n_bytes) + data[middle + n_bytes :]


@pytest.mark.parametrize(
    "data", [pytest.param(M4A, id="m4a"), pytest.param(FLAC, id="flac"), pytest.param(MP3, id="mp3")]
)
def test_audio_around_damage_is_decoded(data: bytes) -> None:
    whole, damaged = decode(data), decode(damage_the_middle(data))
    assert len(damaged) == pytest.approx(len(whole), abs=0.1 * SAMPLE_RATE)
    assert not np.array_equal(damaged, whole[: len(damaged)])
    np.testing.assert_allclose(damaged[: len(whole) // 3], whole[: len(whole) // 3], atol=1e-5)
    # FFmpeg loses the intact flac frame behind a damaged one, too.
    assert np.std(damaged[-len(whole) // 5 :]) == pytest.approx(np.std(whole[-len(whole) // 5 :]), rel=0.1)


@pytest.mark.parametrize("data", [pytest.param(M4A, id="m4a"), pytest.param(MP3, id="mp3")])
def test_damaged_packets_are_logged(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    decode(data)
    assert caplog.text == ""
    decode(damage_the_middle(data))
    assert "damaged packets" in caplog.text


def write_amr(n_damaged: int) -> bytes:
    """Return a second of AMR, damaged packets of one byte, and the same second again."""
    tone = make_tone(8_000, duration_s=1)
    intact = write_ffmpeg(tone, 8_000, container="amr", codec="libopencore_amrnb", bit_rate=12_200)
    return intact + b"\x7c" * n_damaged + intact[len(AMR_MAGIC) :]


AMR_MAGIC = b"#!AMR\n"


def test_each_damaged_packet_is_a_place_to_stop() -> None:
    """Nothing was yielded for damaged packets, so that 10 MB kept a thread busy for 74 s after a cancellation."""
    with io.BytesIO(write_amr(1_000)) as file:
        lengths = [len(block) for block in decode_audio(file)]
    assert lengths.count(0) >= 1_000
    n_damaged_s = 1_000 / (12_200 / 8)  # Its bytes last as long as others do.
    assert sum(lengths) == pytest.approx((2 + n_damaged_s) * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)


def test_decoding_ends_after_many_damaged_packets_in_a_row() -> None:
    waveform = decode(write_amr(MAX_DAMAGED_IN_A_ROW))
    assert len(waveform) == pytest.approx(SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)


def test_nothing_but_damaged_packets_is_invalid_and_quickly_refused() -> None:
    data = AMR_MAGIC + b"\x7c" * 10_000_000
    with CountingFile(data) as file:
        with pytest.raises(InvalidAudio, match="amr file cannot be decoded"):
            list(decode_audio(file))
        assert file.n_read < len(data) / 10
