"""The folder that jobs are kept in, which one server at a time has for itself."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from hf_asr_endpoint.errors import StorageFailed

LOCK = "lock"
PRIVATE = 0o700  # What people said is nobody else's to read.


class DataDirectory:
    """Holds the folder's lock until it is closed, or the process ends in whatever way."""

    def __init__(self, path: Path, *, lock: int) -> None:
        """lock: a file descriptor that has the lock."""
        self.path = path
        self._lock = lock

    def close(self) -> None:
        """Let another server have the folder. Nothing may be written there any more."""
        os.close(self._lock)


def open_data_directory(path: Path) -> DataDirectory:
    """Make the folder where it is missing, and lock it. Raises StorageFailed."""
    try:
        path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise StorageFailed(
            f"jobs cannot be kept in {path} ({exc.strerror}); allowed: a folder that can be written, "
            "given by --data-dir"
        ) from exc
    try:
        _lock(lock, path)
    except BaseException:
        os.close(lock)
        raise
    return DataDirectory(path, lock=lock)


def sync_directory(path: Path) -> None:
    """Return when the disk has the folder's entries: a new file's name is not safe before. Raises OSError."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _lock(lock: int, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        holder = os.pread(lock, 32, 0).decode(errors="replace").strip()
        raise StorageFailed(
            f"the data directory {path} is in use by another server, process {holder or 'unknown'}; "
            "allowed: a folder for each server, given by --data-dir"
        ) from exc
    except OSError as exc:
        raise StorageFailed(
            f"the data directory {path} cannot be locked ({exc.strerror}); "
            "allowed: a folder on a file system with locks, given by --data-dir"
        ) from exc
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    except OSError as exc:
        raise StorageFailed(
            f"the data directory {path} cannot be written ({exc.strerror}); "
            "allowed: a folder with room in it, given by --data-dir"
        ) from exc
