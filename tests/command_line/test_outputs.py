"""The names of files, and how they are written."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from hf_asr_endpoint.command_line.transcribe.inputs import Recording
from hf_asr_endpoint.command_line.transcribe.outputs import Target, plan, write
from hf_asr_endpoint.errors import InvalidParameter


def recording(path: Path, relative: str | None = None) -> Recording:
    return Recording(path=path, relative=Path(relative or path.name), n_bytes=1, open=io.BytesIO)


def names(*recordings: Recording, folder: Path | None = None, overwrites: bool = True) -> list[str]:
    works = plan(recordings, ("txt", "srt"), folder=folder, overwrites=overwrites)
    return [str(target.path) for work in works for target in work.targets]


def test_files_are_beside_their_recording_or_in_the_folder_as_deep_as_it_is() -> None:
    talk = recording(Path("/in/x/talk.mp3"), "x/talk.mp3")
    assert names(talk) == ["/in/x/talk.txt", "/in/x/talk.srt"]
    assert names(talk, folder=Path("/out")) == ["/out/x/talk.txt", "/out/x/talk.srt"]


def test_only_the_suffix_of_a_format_is_left_out() -> None:
    assert names(recording(Path("/in/talk.2024"))) == ["/in/talk.2024.txt", "/in/talk.2024.srt"]
    assert names(recording(Path("/in/v1.2.mp3"))) == ["/in/v1.2.txt", "/in/v1.2.srt"]


def test_recordings_with_the_same_name_keep_their_suffixes() -> None:
    found = names(recording(Path("/in/talk.mp3")), recording(Path("/in/talk.wav")), recording(Path("/in/a.wav")))
    assert found[::2] == ["/in/talk.mp3.txt", "/in/talk.wav.txt", "/in/a.txt"]


def test_two_recordings_never_share_a_file() -> None:
    with pytest.raises(InvalidParameter, match=r"/in/talk\.mp3 and /other/talk\.mp3 would both be written to"):
        names(recording(Path("/in/talk.mp3")), recording(Path("/other/talk.mp3")), folder=Path("/out"))


def test_only_what_is_not_there_is_written_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "talk.txt").touch()
    talk = recording(tmp_path / "talk.mp3")
    assert names(talk, overwrites=False) == [str(tmp_path / "talk.srt")]
    (tmp_path / "talk.srt").touch()
    assert names(talk, overwrites=False) == []
    assert len(names(talk)) == 2


def test_a_file_is_whole_and_what_a_killed_process_left_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "talk.txt"
    path.parent.mkdir()
    (path.parent / ".talk.txt.partial").write_text("half of a longer te")
    write([(Target(format="txt", path=path), "text\n")])
    assert [found.name for found in path.parent.iterdir()] == ["talk.txt"]
    assert path.read_text() == "text\n"


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "talk.txt").mkdir()
    with pytest.raises(OSError, match="talk"):
        write([(Target(format="txt", path=tmp_path / "talk.txt"), "text")])
    assert [found.name for found in tmp_path.iterdir()] == ["talk.txt"]
