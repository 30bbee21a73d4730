"""Where what was compiled is kept. What the kernels compute is tested with what they are used for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.whisper.conftest import needs_tiles

pytestmark = needs_tiles

QUANTISE = """
import torch
from hf_asr_endpoint.whisper.kernels.quantize_cross_kv import quantize_cross_kv
columns, written = torch.tensor([-2.0, 1.0]).bfloat16().repeat(64), torch.zeros(8704, dtype=torch.uint8)
quantize_cross_kv()((columns.data_ptr(), written.data_ptr(), 1, 1))
print(written[[0, 1]].tolist())
"""


def quantised(cache: Path) -> str:
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    done = subprocess.run([sys.executable, "-c", QUANTISE], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_was_compiled_is_kept_in_the_users_cache(tmp_path: Path) -> None:
    assert quantised(tmp_path) == "[1, 255]"
    (folder,) = (tmp_path / "hf-asr-endpoint").iterdir()
    assert folder.name.startswith("kernels-")
    assert list(folder.rglob("*.nbc"))


def test_kernels_run_where_nothing_can_be_kept(tmp_path: Path) -> None:
    """numba refuses to import a function that it is to keep and cannot."""
    no_folder = tmp_path / "file"
    no_folder.touch()
    assert quantised(no_folder) == "[1, 255]"
