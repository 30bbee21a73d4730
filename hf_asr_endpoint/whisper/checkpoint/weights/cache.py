"""Builds directories once and shares them between processes. Knows nothing of what is in them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from hf_asr_endpoint.errors import ModelUnavailable


def build_once(directory: Path, build: Callable[[Path], None]) -> Path:
    """Return `directory`. If it does not exist, call `build` with an empty one and rename that to `directory`.

    The directory is therefore complete or absent: a process killed while building leaves only `….partial` next to
    it, which the next builder removes. A lock makes processes that start together build once.
    Raises ModelUnavailable for any OSError, `build`'s included, and when there is not enough memory.
    """
    if directory.exists():
        return directory
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(directory.with_name(f"{directory.name}.lock")):
            if not directory.exists():
                _build(directory, build)
    except OSError as exc:
        raise ModelUnavailable(
            f"the cache {directory.parent} cannot be written ({exc}); free disk space or give another --cache-dir"
        ) from exc
    except MemoryError as exc:
        raise ModelUnavailable(
            f"there is not enough memory to convert the model into {directory}; "
            "free memory or choose a smaller model"
        ) from exc
    return directory


def _build(directory: Path, build: Callable[[Path], None]) -> None:
    partial = directory.with_name(f"{directory.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        build(partial)
        for path in partial.iterdir():
            _flush_to_disk(path)  # After a power cut, the renamed directory must not lack contents.
        partial.rename(directory)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
