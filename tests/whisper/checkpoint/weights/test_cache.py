from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.checkpoint.weights.cache import build_once

DEADLINE_S = 60
N_THREADS = 8
N_PROCESSES = 4

BUILD_FROM_THREADS = """
import sys, threading, uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from hf_asr_endpoint.whisper.checkpoint.weights.cache import build_once

directory, builds, n_threads = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
together = threading.Barrier(n_threads)

def build(target):
    (builds / uuid.uuid4().hex).touch()
    for i in range(50):
        (target / f"{i}.bin").write_bytes(bytes(100_000))

def build_together(_):
    together.wait()
    return len(list(build_once(directory, build).iterdir()))

print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(n_threads) as threads:
    print(*threads.map(build_together, range(n_threads)))
"""

BUILD_FOREVER = """
import sys
from pathlib import Path
from hf_asr_endpoint.whisper.checkpoint.weights.cache import build_once

def build(target):
    (target / "half.bin").write_bytes(b"half")
    print("building", flush=True)
    sys.stdin.read()

build_once(Path(sys.argv[1]), build)
"""


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def write_complete(target: Path) -> None:
    (target / "complete.bin").write_bytes(b"complete")


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_directory_is_built_and_returned(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "down" / "model"
    assert build_once(directory, write_complete) == directory
    assert (directory / "complete.bin").read_bytes() == b"complete"


def test_directory_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    directory = tmp_path / "model"

    def build(target: Path) -> None:
        write_complete(target)
        assert not directory.exists()

    build_once(directory, build)
    assert names_in(tmp_path) == ["model", "model.lock"]


def test_existing_directory_is_not_built_again(tmp_path: Path) -> None:
    directory = build_once(tmp_path / "model", write_complete)

    def build(target: Path) -> None:
        raise AssertionError(f"built again in {target}")

    assert build_once(directory, build) == directory
    assert names_in(directory) == ["complete.bin"]


def test_threads_that_start_together_build_once(tmp_path: Path) -> None:
    together, builds = threading.Barrier(N_THREADS), []

    def build(target: Path) -> None:
        builds.append(target)
        write_complete(target)

    def build_together(_: int) -> list[str]:
        together.wait(DEADLINE_S)
        return names_in(build_once(tmp_path / "model", build))

    with ThreadPoolExecutor(N_THREADS) as threads:
        assert list(threads.map(build_together, range(N_THREADS))) == [["complete.bin"]] * N_THREADS
    assert len(builds) == 1


def test_processes_that_start_together_build_once(tmp_path: Path) -> None:
    builds = tmp_path / "builds"
    builds.mkdir()
    arguments = (str(tmp_path / "cache" / "model"), str(builds), str(N_THREADS))
    processes = [start(BUILD_FROM_THREADS, *arguments) for _ in range(N_PROCESSES)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        output, _ = process.communicate(timeout=DEADLINE_S)
        assert output.split() == ["50"] * N_THREADS
        assert process.returncode == 0
    assert len(names_in(builds)) == 1
    assert names_in(tmp_path / "cache") == ["model", "model.lock"]


@pytest.mark.parametrize("failure", [ValueError("no"), KeyboardInterrupt()], ids=["error", "Ctrl-C"])
def test_failed_build_leaves_nothing_and_can_be_repeated(tmp_path: Path, failure: BaseException) -> None:
    def fail(target: Path) -> None:
        write_complete(target)
        raise failure

    with pytest.raises(type(failure)):
        build_once(tmp_path / "model", fail)
    assert names_in(tmp_path) == ["model.lock"]
    assert names_in(build_once(tmp_path / "model", write_complete)) == ["complete.bin"]


def test_killed_build_leaves_no_directory_and_can_be_repeated(tmp_path: Path) -> None:
    directory = tmp_path / "model"
    with start(BUILD_FOREVER, str(directory)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "building\n"
        process.kill()
    assert not directory.exists()
    assert names_in(tmp_path / "model.partial") == ["half.bin"]
    assert names_in(build_once(directory, write_complete)) == ["complete.bin"]
    assert names_in(tmp_path) == ["model", "model.lock"]


def test_message_names_a_cache_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelUnavailable, match="--cache-dir") as caught:
        build_once(tmp_path / "file" / "model", write_complete)
    assert str(tmp_path / "file") in str(caught.value)


def test_message_names_a_lack_of_memory(tmp_path: Path) -> None:
    def build(target: Path) -> None:
        write_complete(target)
        raise MemoryError

    with pytest.raises(ModelUnavailable, match="not enough memory"):
        build_once(tmp_path / "model", build)
    assert names_in(tmp_path) == ["model.lock"]


def test_message_names_a_full_disk_and_nothing_is_left(tmp_path: Path) -> None:
    def fill(target: Path) -> None:
        write_complete(target)
        raise OSError(28, "No space left on device")

    with pytest.raises(ModelUnavailable, match="No space left on device"):
        build_once(tmp_path / "model", fill)
    assert names_in(tmp_path) == ["model.lock"]
