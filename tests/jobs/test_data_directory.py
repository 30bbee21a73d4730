from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hf_asr_endpoint.errors import StorageFailed
from hf_asr_endpoint.jobs.data_directory import open_data_directory

HOLD = """
import sys
from pathlib import Path
from hf_asr_endpoint.jobs.data_directory import open_data_directory
held = open_data_directory(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    directory = open_data_directory(tmp_path / "a" / "b")
    assert directory.path == tmp_path / "a" / "b"
    assert directory.path.stat().st_mode & 0o777 == 0o700
    directory.close()


def test_another_process_is_named_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StorageFailed, match=rf"another server, process {holder.pid}; allowed:.*--data-dir"):
            open_data_directory(tmp_path)
        holder.kill()
    open_data_directory(tmp_path).close()


def test_a_folder_can_be_opened_again_once_it_is_closed(tmp_path: Path) -> None:
    open_data_directory(tmp_path).close()
    directory = open_data_directory(tmp_path)
    with pytest.raises(StorageFailed, match=f"process {os.getpid()}"):
        open_data_directory(tmp_path)
    directory.close()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageFailed, match=r"Not a directory.*--data-dir"):
        open_data_directory(tmp_path / "file" / "data")
