"""Compiles some kernels in a process of their own: numba compiles one function at a time, whatever threads do.

As a program: `python -m hf_asr_endpoint.whisper.kernels.precompile CACHE_DIR LEVEL KERNEL...`
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from hf_asr_endpoint.whisper.kernels import Kernels
from hf_asr_endpoint.whisper.kernels.processor import Level

MAX_WAIT_S = 60.0  # for the other process; it takes some 15 s


@contextmanager
def compiling_elsewhere(cache_dir: Path, level: str, names: Sequence[str]) -> Iterator[None]:
    """Compile kernels into the cache, in another process, while the block runs; then wait for that process.

    names: of `Kernels`' properties. What the other process does not manage is still to be compiled: it may not
    start, as where Python is a part of another program, or it may fail or hang.
    """
    process = _start([sys.executable, "-m", __name__, str(cache_dir), level, *names]) if sys.executable else None
    try:
        yield
        if process is not None:
            process.wait(MAX_WAIT_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if process is not None:
            process.kill()
            process.wait()


def _start(command: Sequence[str]) -> subprocess.Popen[bytes] | None:
    # The package may be in a folder that only this process's path has, as beside handler.py.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    quiet = subprocess.DEVNULL
    try:
        return subprocess.Popen(command, env=environment, stdin=quiet, stdout=quiet, stderr=quiet)
    except OSError:
        return None


def main(arguments: Sequence[str]) -> None:
    cache_dir, level, *names = arguments
    kernels = Kernels(cast(Level, level), Path(cache_dir))
    for name in names:
        getattr(kernels, name)


if __name__ == "__main__":
    main(sys.argv[1:])
