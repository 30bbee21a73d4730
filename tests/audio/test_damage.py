"""Recordings that are cut off or damaged: what is left of them is heard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.tones import DATA, decode, make_tone, write_ffmpeg, write_sound

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
def test_a_recording_cut_off_is_heard_up_to_there(path: Path, fraction: float) -> None:
    data = path.read_bytes()
    whole, part = decode(data), decode(data[: int(fraction * len(data))])
    assert len(part) == pytest.approx(fraction * len(whole), abs=0.15 * len(whole))
    n_equal = len(part) - SAMPLE_RATE // 10  # The resampler's filter ends differently where the file does.
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
def test_what_comes_before_the_cut_is_heard_where_the_container_itself_fails(data: bytes) -> None:
    whole, part = decode(data), decode(data[: len(data) // 2])
    assert 0.3 * len(whole) < len(part) < 0.6 * len(whole)
    np.testing.assert_allclose(part[: SAMPLE_RATE * 2], whole[: SAMPLE_RATE * 2], atol=1e-5)


def test_a_fragmented_mp4_cut_off_is_heard_up_to_there() -> None:
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
def test_damage_in_the_middle_leaves_the_rest(data: bytes) -> None:
    whole, damaged = decode(data), decode(damage_the_middle(data))
    assert 0.7 * len(whole) < len(damaged) <= len(whole)
    assert not np.array_equal(damaged, whole[: len(damaged)])
    np.testing.assert_allclose(damaged[: len(whole) // 3], whole[: len(whole) // 3], atol=1e-5)
    assert np.std(damaged[-len(whole) // 3 :]) == pytest.approx(np.std(whole[-len(whole) // 3 :]), rel=0.1)


@pytest.mark.parametrize("data", [pytest.param(M4A, id="m4a"), pytest.param(MP3, id="mp3")])
def test_damaged_packets_are_logged(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    decode(data)
    assert caplog.text == ""
    decode(damage_the_middle(data))
    assert "damaged packets" in caplog.text
