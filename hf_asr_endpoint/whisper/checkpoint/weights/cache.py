"""Directories that are built once and then shared, whoever builds them and however it ends."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from hf_asr_endpoint.errors import ModelUnavailable


def build_once(directory: Path, build: Callable[[Path], None]) -> Path:
    """Return `directory`; if it does not exist, let `build` fill an empty one that is then renamed to it.

    The directory is there whole or not at all: a process killed while building leaves only a
    `….partial` beside it, which the next builder removes. Processes that start together wait for one
    another, so the work is done once.
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
            f"the cache {directory.parent} cannot be written ({exc}); make room or give another --cache-dir"
        ) from exc
    return directory


def _build(directory: Path, build: Callable[[Path], None]) -> None:
    partial = directory.with_name(f"{directory.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        build(partial)
        for path in partial.iterdir():
            _flush_to_disk(path)  # A power cut must not find the rename done and the contents missing.
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
