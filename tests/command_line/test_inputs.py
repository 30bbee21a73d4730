"""Which recordings arguments name."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_asr_endpoint.command_line.transcribe.inputs import find_recordings
from hf_asr_endpoint.errors import InvalidParameter


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.mp3", "a.WAV", "notes.txt", ".hidden.mp3", "._a.wav", "deep/c.mkv", ".git/d.mp3", "odd.name"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    return tmp_path


def find(*arguments: Path | str, recursive: bool = False) -> list[str]:
    found = find_recordings(map(str, arguments), recursive=recursive)
    return [str(recording.relative) for recording in found]


def test_a_folder_has_the_files_with_names_of_audio(folder: Path) -> None:
    assert find(folder) == ["a.WAV", "b.mp3"]


def test_folders_in_it_are_for_recursive(folder: Path) -> None:
    assert find(folder, recursive=True) == ["a.WAV", "b.mp3", "deep/c.mkv"]
    (folder / "empty").mkdir()
    with pytest.raises(InvalidParameter, match="no files with the name of an audio format; --recursive"):
        find(folder / "empty")


def test_a_file_that_is_named_may_have_any_name(folder: Path) -> None:
    assert find(folder / "odd.name", folder / ".hidden.mp3") == ["odd.name", ".hidden.mp3"]


def test_a_pattern_that_no_shell_has_expanded(folder: Path) -> None:
    assert find(folder / "*.mp3") == ["b.mp3"]
    assert find(folder / "**" / "*.mkv") == ["c.mkv"]


def test_each_recording_comes_once(folder: Path) -> None:
    (folder / "link.mp3").symlink_to(folder / "b.mp3")
    assert find(folder / "b.mp3", folder, folder / "link.mp3") == ["b.mp3", "a.WAV"]


def test_sizes_are_those_of_the_files_and_odd_names_are_shown_on_a_line(folder: Path) -> None:
    path = folder / "a\nb\udcff.mp3"
    path.write_bytes(b"1234567")
    (recording,) = find_recordings([str(path)], recursive=False)
    assert recording.n_bytes == 7
    assert recording.shown.endswith("/a�b�.mp3")
    with recording.open() as file:
        assert file.read() == b"1234567"
