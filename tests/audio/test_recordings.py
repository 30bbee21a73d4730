"""Real recordings of every kind, as phones, browsers and archives write them."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest

from hf_asr_endpoint.audio.headerless import PcmFormat
from hf_asr_endpoint.errors import InvalidAudio
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.tones import DATA, decode

SHARED = Path(__file__).parents[3] / "shared" / "speech"
"""A collection of recordings; the tests that use it are skipped without it."""

FRAMES_S = 0.06
"""Silence that an encoder adds or a decoder removes at both ends together: up to three AAC frames."""


@pytest.mark.parametrize(
    ("name", "duration_s", "tolerance_s"),
    [
        pytest.param("../jfk.mp3", 11.0, FRAMES_S, id="mp3"),
        pytest.param("stereo.mp3", 1.0, FRAMES_S, id="mp3, stereo"),
        pytest.param("jfk_441khz.m4a", 11.0, FRAMES_S, id="m4a"),
        pytest.param("short.mp4", 1.975, FRAMES_S, id="mp4"),
        pytest.param("vorbis.webm", 7.099, FRAMES_S, id="webm with vorbis"),
        pytest.param("audio.vorbis.ogg", 2.907, FRAMES_S, id="ogg with vorbis"),
        pytest.param("bus.opus", 0.764, FRAMES_S, id="opus"),
        pytest.param("stereo.opus", 1.006, FRAMES_S, id="opus, stereo"),
        pytest.param("audio.speex.ogg", 2.92, FRAMES_S, id="ogg with speex"),
        pytest.param("female_scrub.spx", 15.46, FRAMES_S, id="speex"),
        pytest.param("M1F1-AlawC-AFsp.aif", 2.937, 0.001, id="aifc with a-law"),
        pytest.param("stereo.sph", 1.0, 0.001, id="nist sphere"),
        pytest.param("audio.wav", 1.811, 0.001, id="wav"),
        pytest.param("../533-1066-0006.flac", 3.795, 0.001, id="flac"),
    ],
)
def test_recording_has_its_duration_and_is_not_silent(name: str, duration_s: float, tolerance_s: float) -> None:
    waveform = decode((DATA / name).read_bytes())
    assert len(waveform) / SAMPLE_RATE == pytest.approx(duration_s, abs=tolerance_s)
    assert 0.01 < np.sqrt(np.mean(waveform**2)) < 0.5


def test_recorded_silence_is_silent() -> None:
    waveform = decode((DATA / "adts-mpeg4-2.aac").read_bytes())
    assert len(waveform) / SAMPLE_RATE == pytest.approx(0.325, abs=FRAMES_S)
    assert np.abs(waveform).max() < 1e-3


def test_m4a_and_mp3_of_one_recording_are_similar() -> None:
    mp3, m4a = decode((DATA / "../jfk.mp3").read_bytes()), decode((DATA / "jfk_441khz.m4a").read_bytes())
    window = slice(2 * SAMPLE_RATE, 9 * SAMPLE_RATE)
    similarity = np.fft.irfft(np.fft.rfft(mp3[window]) * np.conj(np.fft.rfft(m4a[window])))
    assert similarity.max() > 0.95 * np.linalg.norm(mp3[window]) * np.linalg.norm(m4a[window])


def shared_files(folder: str) -> list[object]:
    paths = sorted(path for path in (SHARED / folder).rglob("*") if path.is_file())
    absent = pytest.param(None, id="none", marks=pytest.mark.skip(reason="the shared recordings are not here"))
    return [pytest.param(path, id=path.relative_to(SHARED).as_posix()) for path in paths] or [absent]


@pytest.fixture(scope="module")
def durations_s() -> dict[str, float]:
    """Durations by the collection's manifest."""
    lines = (SHARED / "manifest.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    return {entry["path"]: entry["seconds"] for entry in entries if "seconds" in entry}


@pytest.mark.parametrize("path", shared_files("formats"))
def test_every_shared_format_decodes(path: Path, durations_s: dict[str, float]) -> None:
    pcm = PcmFormat(sample_rate=SAMPLE_RATE) if path.suffix == ".raw" else None
    waveform = decode(path.read_bytes(), pcm=pcm)
    assert len(waveform) > 0
    assert np.isfinite(waveform).all()
    duration_s = durations_s.get(path.relative_to(SHARED).as_posix(), len(waveform) / SAMPLE_RATE)
    assert len(waveform) / SAMPLE_RATE == pytest.approx(duration_s, abs=FRAMES_S)


@pytest.mark.parametrize("path", shared_files("malformed"))
def test_every_shared_malformed_file_gives_samples_or_is_invalid(path: Path) -> None:
    with contextlib.suppress(InvalidAudio):
        assert np.isfinite(decode(path.read_bytes())).all()
