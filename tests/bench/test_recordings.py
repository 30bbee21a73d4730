from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.recordings import LONG, Clip, duration_s, language_clips, long_clip, short_clips, write_repeated

ENTRIES = [
    {"path": "librispeech_test_other/1.flac", "text": "one"},
    {"path": "librispeech_test_other/2.flac", "text": ""},
    {"path": "fleurs/3.ogg", "text": "drei", "language": "de"},
    {"path": "fleurs/5.ogg", "text": "cinq", "language": "fr"},
    {"path": "librispeech_test_other/4.flac", "text": "four"},
]


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Return a folder with a manifest of five clips and the reference of the long recording."""
    (tmp_path / "manifest.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in ENTRIES))
    (tmp_path / LONG).parent.mkdir()
    (tmp_path / f"{LONG}.json").write_text('{"text": "and so on"}')
    return tmp_path


def test_short_clips_are_the_clips_of_the_set_with_a_reference(speech: Path) -> None:
    folder = speech / "librispeech_test_other"
    assert short_clips(speech) == [
        Clip(path=folder / "1.flac", reference="one"),
        Clip(path=folder / "4.flac", reference="four"),
    ]


def test_short_clips_can_be_limited(speech: Path) -> None:
    assert [clip.reference for clip in short_clips(speech, limit=1)] == ["one"]


def test_language_clips_are_the_clips_of_a_folder_with_the_language(speech: Path) -> None:
    assert language_clips(speech, folder="fleurs", language="de") == [speech / "fleurs" / "3.ogg"]


def test_the_reference_of_the_long_recording_is_next_to_it(speech: Path) -> None:
    assert long_clip(speech) == Clip(path=speech / LONG, reference="and so on")


def test_repeated_recordings_give_a_file_of_exact_length(tmp_path: Path) -> None:
    for name, value, n_samples in (("a.wav", 0.25, 300), ("b.wav", -0.5, 500)):
        soundfile.write(tmp_path / name, np.full(n_samples, value), 1000)
    target = tmp_path / "long.flac"
    write_repeated([tmp_path / "a.wav", tmp_path / "b.wav"], target, seconds=2.0)
    waveform, rate = soundfile.read(target)
    pattern = np.concatenate([np.full(300, 0.25), np.full(500, -0.5)])
    assert rate == 1000
    assert duration_s(target) == 2.0
    assert np.array_equal(waveform, np.tile(pattern, 3)[:2000])
