"""Kernels run on the threads of each kind of OpenMP runtime that torch may have."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import pytest

from hf_asr_endpoint.whisper.kernels import openmp
from tests.whisper.levels import needs_kernels

INTELS = "libiomp5.so"


def intels_library() -> str | None:
    """Return the path of Intel's runtime, from its package on PyPI; None where it is not installed."""
    try:
        found = [file for file in files("intel-openmp") or () if file.name == INTELS]
    except PackageNotFoundError:
        return None
    return str(Path(str(found[0].locate())).resolve())


def run_on(library: str, kind: str, cache_dir: Path) -> str:
    command = [sys.executable, "-m", "tests.whisper.kernels.another_runtime", library, kind, str(cache_dir)]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


def gnus_library() -> str:
    maps = Path("/proc/self/maps").read_text().split()
    return next(word for word in maps if "libgomp" in word)


@needs_kernels
@pytest.mark.skipif(sys.platform != "linux", reason="looks at the libraries that the process has loaded")
def test_a_kernel_runs_on_every_runtime(tmp_path: Path) -> None:
    """Intel's is Windows' runtime, by its own entry points; by GNU's it is like LLVM's on macOS."""
    library = intels_library()
    if library is None:
        pytest.skip("intel-openmp is not installed")
    expected = "[1, 0, 0, 0, 0, 0, 0, 0]\n[2, 2, 0, 0, 0, 0, 0, 0]\n"
    for library_of_these_entry_points in (gnus_library(), library):
        assert run_on(library_of_these_entry_points, "GnuOpenMP", tmp_path / "gnu") == expected
    for _ in range(2):  # compiled, then loaded from the cache
        assert run_on(library, "IntelOpenMP", tmp_path / "intel") == expected


class Library:
    """A library with some functions."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def __getattr__(self, name: str) -> object:
        if name not in self.names:
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Any:
        assert name in self.names
        return ctypes.CFUNCTYPE(None)(lambda: None)


INTEL = ("__kmpc_fork_call", "__kmpc_global_thread_num", "__kmpc_push_num_threads")


@pytest.mark.parametrize(
    ("platform", "names", "expected"),
    [
        ("linux", (openmp.THREAD_NUMBER, "GOMP_parallel"), openmp.GnuOpenMP),
        ("darwin", (openmp.THREAD_NUMBER, "GOMP_parallel", *INTEL), openmp.GnuOpenMP),
        ("win32", (openmp.THREAD_NUMBER, *INTEL), openmp.IntelOpenMP),
        ("darwin", (openmp.THREAD_NUMBER, *INTEL), type(None)),
        ("win32", (), type(None)),  # such as Microsoft's own
        ("freebsd14", (openmp.THREAD_NUMBER, "GOMP_parallel"), type(None)),
    ],
)
def test_the_runtime_of_each_system(
    platform: str, names: tuple[str, ...], expected: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str | None] = []

    def load(name: str | None, mode: int = 0) -> Library:
        loaded.append(name)
        return Library(*names)

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(openmp.ctypes, "CDLL", load)
    assert type(openmp.find_openmp.__wrapped__()) is expected
    if platform == "win32":
        assert loaded == ["libiomp5md.dll"]


def test_a_runtime_that_cannot_be_loaded_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str | None, mode: int = 0) -> Library:
        raise OSError("not found")

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(openmp.ctypes, "CDLL", fail)
    assert openmp.find_openmp.__wrapped__() is None
