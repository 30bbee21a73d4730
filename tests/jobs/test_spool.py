from __future__ import annotations

import io
from pathlib import Path

import pytest

from hf_asr_endpoint.errors import AudioLost, StorageFailed
from hf_asr_endpoint.jobs.spool import FOLDER, Spool


class BrokenFile(io.BytesIO):
    """A file that can be read only once. folder: replaced by a file before the second read fails."""

    def __init__(self, content: bytes, *, folder: Path | None = None) -> None:
        super().__init__(content)
        self._folder = folder

    def read(self, size: int | None = -1, /) -> bytes:
        if not self.tell():
            return super().read(10)
        if self._folder:
            self._folder.rename(self._folder.with_name("moved"))
            self._folder.touch()
        raise OSError(5, "Input/output error")


def file_names(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / FOLDER).iterdir())


def test_audio_round_trips(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    audio = io.BytesIO(bytes(range(256)) * 10_000)
    spool.add("a", audio)
    with Spool(tmp_path).open("a") as file:
        assert file.read() == audio.getvalue()
    assert file_names(tmp_path) == ["a"]


def test_audio_is_copied_from_its_current_position(tmp_path: Path) -> None:
    audio = io.BytesIO(b"headaudio")
    audio.seek(4)
    spool = Spool(tmp_path)
    spool.add("a", audio)
    with spool.open("a") as file:
        assert file.read() == b"audio"


def test_failed_copy_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="Input/output error"):
        Spool(tmp_path).add("a", BrokenFile(b"x" * 100))
    assert file_names(tmp_path) == []


def test_failed_copy_whose_rest_cannot_be_deleted_reports_the_first_error(tmp_path: Path) -> None:
    """The error of the deletion replaced the first one, was not a StorageFailed, and the client got a 500."""
    spool = Spool(tmp_path)
    with pytest.raises(StorageFailed, match="Input/output error"):
        spool.add("a", BrokenFile(b"x" * 100, folder=tmp_path / FOLDER))


def test_remove_is_idempotent(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.add("a", io.BytesIO(b"audio"))
    spool.remove("a")
    spool.remove("a")
    assert file_names(tmp_path) == []
    with pytest.raises(AudioLost, match="send the job again"):
        spool.open("a")


def test_sizes_are_those_of_all_files_also_of_interrupted_copies(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.add("a", io.BytesIO(b"audio"))
    (tmp_path / FOLDER / "interrupted.part").write_bytes(b"au")
    assert spool.sizes() == {"a": 5, "interrupted.part": 2}


def test_a_folder_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    """It was an OSError, which stopped the server instead of starting it without jobs."""
    spool = Spool(tmp_path)
    (tmp_path / FOLDER).rmdir()
    with pytest.raises(StorageFailed, match=r"No such file.*--data-dir"):
        spool.sizes()


def test_refuses_a_file_instead_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / FOLDER).touch()
    with pytest.raises(StorageFailed, match="File exists"):
        Spool(tmp_path)
