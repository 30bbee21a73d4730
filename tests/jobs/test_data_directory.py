from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hf_asr_endpoint.errors import StorageFailed
from hf_asr_endpoint.jobs import data_directory
from hf_asr_endpoint.jobs.data_directory import RESERVE_BYTES, RESERVE_FILE, open_data_directory

HOLD_LOCK = """
import sys
from pathlib import Path
from hf_asr_endpoint.jobs.data_directory import open_data_directory
directory = open_data_directory(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def test_creates_a_directory_that_only_its_owner_can_read(tmp_path: Path) -> None:
    directory = open_data_directory(tmp_path / "a" / "b")
    assert directory.path == tmp_path / "a" / "b"
    assert directory.path.stat().st_mode & 0o777 == 0o700
    directory.close()


def test_error_names_the_process_that_holds_the_lock_until_it_dies(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD_LOCK, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(StorageFailed, match=rf"another server, process {holder.pid}; allowed:.*--data-dir"):
            open_data_directory(tmp_path)
        holder.kill()
    open_data_directory(tmp_path).close()


def test_directory_can_be_opened_again_after_close(tmp_path: Path) -> None:
    open_data_directory(tmp_path).close()
    directory = open_data_directory(tmp_path)
    with pytest.raises(StorageFailed, match=f"process {os.getpid()}"):
        open_data_directory(tmp_path)
    directory.close()


def test_refuses_a_path_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageFailed, match=r"Not a directory.*--data-dir"):
        open_data_directory(tmp_path / "file" / "data")


def test_reserved_space_is_released_once_and_reserved_again(tmp_path: Path) -> None:
    directory = open_data_directory(tmp_path)
    for _ in range(2):
        directory.reserve_space()
        directory.reserve_space()
        assert (tmp_path / RESERVE_FILE).stat().st_blocks * 512 >= RESERVE_BYTES
        directory.release_space()
        directory.release_space()
        assert not (tmp_path / RESERVE_FILE).exists()
    directory.close()


def test_full_disk_gets_no_partial_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partial file would count as the reserve for ever."""

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    directory = open_data_directory(tmp_path)
    monkeypatch.setattr(data_directory.os, "fsync", fail)
    directory.reserve_space()
    assert not (tmp_path / RESERVE_FILE).exists()
    directory.close()
