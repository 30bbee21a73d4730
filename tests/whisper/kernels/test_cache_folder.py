"""The cache of compiled kernels. What kernels compute is tested with the layers and caches that use them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import hf_asr_endpoint.whisper.kernels as kernels_module
from hf_asr_endpoint.whisper.kernels import Kernels, precompile
from hf_asr_endpoint.whisper.kernels.cache_folder import MAX_UNUSED_S, open_cache_folder
from hf_asr_endpoint.whisper.kernels.processor import Level
from tests.whisper.levels import HERE, every_level, kernels_of, needs_kernels

QUANTIZE = """
import sys, torch
from pathlib import Path
from hf_asr_endpoint.whisper.kernels import Kernels
kernels = Kernels(sys.argv[2], Path(sys.argv[1]))
columns = torch.tensor([-2.0, 1.0]).to(kernels.layout.activations).repeat(64)
result = torch.zeros(8704, dtype=torch.uint8)
kernels.quantize_cross_kv((columns.data_ptr(), result.data_ptr(), 1, 1))
print(((result[:2].int() - kernels.layout.zero_point + 128) % 256 - 128).tolist())
"""
QUANTIZED = "[-127, 127]"

NO_SPACE = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
"""Limits files to 0 bytes, so that writing raises OSError as it does on a full disk."""


def quantize_in_new_process(cache_dir: Path, level: Level, *, setup: str = "") -> str:
    command = [sys.executable, "-c", setup + QUANTIZE, str(cache_dir), level]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def compiled_files(cache_dir: Path) -> list[Path]:
    return sorted(cache_dir.rglob("*.nbc"))


@every_level
def test_kernels_are_compiled_once_and_loaded_from_the_cache_directory(tmp_path: Path, level: Level) -> None:
    assert quantize_in_new_process(tmp_path, level) == QUANTIZED
    (folder,) = tmp_path.iterdir()
    assert folder.name == "kernels"
    (file,) = compiled_files(tmp_path)
    assert file.parent.parent.name == level
    written_at = file.stat().st_mtime_ns
    assert quantize_in_new_process(tmp_path, level) == QUANTIZED
    assert compiled_files(tmp_path) == [file]
    assert file.stat().st_mtime_ns == written_at


@pytest.fixture
def two_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels that are soon compiled, one in each process."""
    monkeypatch.setattr(kernels_module, "COMPILED_HERE", ("pack_weight",))
    monkeypatch.setattr(kernels_module, "COMPILED_ELSEWHERE", ("self_attention",))
    monkeypatch.setattr(kernels_module, "N_CORES", 2)


@needs_kernels
def test_at_the_first_start_two_processes_compile(
    tmp_path: Path, two_kernels: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with precompile.compiling_elsewhere(tmp_path / "other", HERE[0], ["self_attention"]):
        pass
    assert len(compiled_files(tmp_path / "other")) == 1
    Kernels(HERE[0], tmp_path).compile_all()
    assert len(compiled_files(tmp_path / "kernels")) == 2
    monkeypatch.setattr(precompile, "compiling_elsewhere", lambda *args: pytest.fail("everything is compiled"))
    Kernels(HERE[0], tmp_path).compile_all()


@needs_kernels
@pytest.mark.parametrize("executable", ["/bin/false", "/nowhere", ""])
def test_kernels_are_compiled_here_when_the_other_process_fails(
    tmp_path: Path, two_kernels: None, executable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    Kernels(HERE[0], tmp_path).compile_all()
    assert len(compiled_files(tmp_path)) == 2


@needs_kernels
def test_kernels_run_without_being_kept_when_the_disk_is_full(tmp_path: Path) -> None:
    assert quantize_in_new_process(tmp_path, HERE[0], setup=NO_SPACE) == QUANTIZED
    assert not compiled_files(tmp_path)


def test_a_cache_directory_that_cannot_be_created_is_no_error(tmp_path: Path) -> None:
    """Kernels are compiled at each start then, as they are without a cache directory."""
    cache_dir = tmp_path / "file"
    cache_dir.touch()
    assert open_cache_folder(cache_dir, level="avx2") is None


def test_importing_kernels_creates_no_folders(tmp_path: Path) -> None:
    code = """
from hf_asr_endpoint.whisper.kernels import (
    Kernels, cross_attention, cross_attention_pairs, encoder_attention, encoder_attention_float32,
    encoder_attention_pairs, int8_gemm, quantize_cross_kv, self_attention
)
from hf_asr_endpoint.whisper.kernels.levels import avx2, avx512_bf16, avx512_vnni, neon_dotprod
"""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)
    assert not list(tmp_path.iterdir())


@every_level
def test_kernels_are_compiled_once_in_a_process_without_a_cache_directory(level: Level) -> None:
    kernels = kernels_of(level)
    assert kernels.quantize_cross_kv is kernels.quantize_cross_kv


def age(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(folder, (then, then))


def make_other_releases(cache_dir: Path) -> tuple[Path, Path]:
    """Return the folders of two other releases: one long unused, one used a day ago."""
    old, recent = cache_dir / "kernels" / "old", cache_dir / "kernels" / "recent"
    for folder, seconds in ((old, MAX_UNUSED_S + 60), (recent, 24 * 3600)):
        folder.mkdir(parents=True)
        (folder / "kernel.nbc").touch()
        age(folder, seconds)
    return old, recent


def test_creating_a_folder_removes_long_unused_folders_of_other_releases(tmp_path: Path) -> None:
    old, recent = make_other_releases(tmp_path)
    folder = open_cache_folder(tmp_path, level="avx2")
    assert folder is not None
    assert folder.is_dir()
    assert not old.exists()
    assert (recent / "kernel.nbc").exists()


def test_opening_an_existing_folder_marks_it_as_used_and_removes_nothing(tmp_path: Path) -> None:
    folder = open_cache_folder(tmp_path, level="avx2")
    assert folder is not None
    age(folder.parent, MAX_UNUSED_S + 60)
    old, _ = make_other_releases(tmp_path)
    assert open_cache_folder(tmp_path, level="avx2") == folder
    assert time.time() - folder.parent.stat().st_mtime < 60
    assert old.exists()


def test_code_of_two_processes_shares_no_names() -> None:
    """A process that loads the code of both would mistake a function of one for the other's."""
    code = """
from hf_asr_endpoint.whisper.kernels.compile import compiled
function = compiled(lambda x: x + 1)
function(1)
(overload,) = function.overloads.values()
print(overload.fndesc.mangled_name)
"""
    names = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120).stdout
        for _ in range(2)
    ]
    assert all(names)
    assert names[0] != names[1]
