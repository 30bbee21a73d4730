"""Compiles some kernels in a process of their own: numba compiles one function at a time, whatever threads do.

As a program: `python -m hf_asr_endpoint.whisper.kernels.precompile CACHE_DIR LEVEL KERNEL...`
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from hf_asr_endpoint.whisper.kernels import Kernels
from hf_asr_endpoint.whisper.kernels.processor import Level


def start_compiling(cache_dir: Path, level: str, names: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a process that compiles kernels into the cache. What it does not manage is still to be compiled.

    names: of `Kernels`' properties.
    """
    command = [sys.executable, "-m", __name__, str(cache_dir), level, *names]
    # The package may be in a folder that only this process's path has, as beside handler.py.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, env=environment, stdin=quiet, stdout=quiet, stderr=quiet)


def main(arguments: Sequence[str]) -> None:
    cache_dir, level, *names = arguments
    kernels = Kernels(cast(Level, level), Path(cache_dir))
    for name in names:
        getattr(kernels, name)


if __name__ == "__main__":
    main(sys.argv[1:])
