from __future__ import annotations

import io
from pathlib import Path

import pytest

from hf_asr_endpoint.errors import StorageFailed
from hf_asr_endpoint.jobs.spool import FOLDER, Spool


class BrokenFile(io.BytesIO):
    """Reads a while, and then no more."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell():
            raise OSError(5, "Input/output error")
        return super().read(10)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / FOLDER).iterdir())


def test_audio_comes_back_as_it_was(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    audio = io.BytesIO(bytes(range(256)) * 10_000)
    spool.add("a", audio)
    with Spool(tmp_path).open("a") as file:
        assert file.read() == audio.getvalue()
    assert names(tmp_path) == ["a"]


def test_only_what_follows_the_position_is_copied(tmp_path: Path) -> None:
    audio = io.BytesIO(b"headaudio")
    audio.seek(4)
    spool = Spool(tmp_path)
    spool.add("a", audio)
    with spool.open("a") as file:
        assert file.read() == b"audio"


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="Input/output error"):
        Spool(tmp_path).add("a", BrokenFile(b"x" * 100))
    assert names(tmp_path) == []


def test_a_removed_file_is_gone_and_removing_it_again_is_no_error(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.add("a", io.BytesIO(b"audio"))
    spool.remove("a")
    spool.remove("a")
    assert names(tmp_path) == []
    with pytest.raises(StorageFailed, match="No such file"):
        spool.open("a")


def test_cleaning_leaves_what_is_wanted(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for job_id in ("wanted", "orphan"):
        spool.add(job_id, io.BytesIO(b"audio"))
    (tmp_path / FOLDER / "broken-off.part").write_bytes(b"au")
    spool.clean({"wanted"})
    assert names(tmp_path) == ["wanted"]


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / FOLDER).touch()
    with pytest.raises(StorageFailed, match="File exists"):
        Spool(tmp_path)
