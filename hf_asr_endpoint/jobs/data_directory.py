"""The data directory: locked, so that one server at a time uses it, with a reserve of disk space for deletions.

Does not know which files the database and the spool keep in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from hf_asr_endpoint.errors import StorageFailed

LOCK_FILE = "lock"
RESERVE_FILE = "reserve"
RESERVE_BYTES = 2**20
"""Deleting a job writes about ten pages of 4 KiB to the database's log, and more if its result is long."""

OWNER_ONLY = 0o700  # Transcriptions are private.


class DataDirectory:
    """A locked directory. The lock lasts until `close`, or until the process ends for any reason."""

    def __init__(self, path: Path, *, lock: int) -> None:
        """lock: a file descriptor that holds the lock."""
        self.path = path
        self._lock = lock

    def reserve_space(self) -> None:
        """Occupy RESERVE_BYTES of the disk with a file, unless it exists or the disk is full. Blocks."""
        path = self.path / RESERVE_FILE
        try:
            with path.open("xb") as file:
                file.write(os.urandom(RESERVE_BYTES))  # Some file systems store zeros without using space.
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            return
        except OSError:
            self.release_space()

    def release_space(self) -> None:
        """Delete the reserve, so that a full disk has space for a deletion. Blocks."""
        with contextlib.suppress(OSError):
            (self.path / RESERVE_FILE).unlink(missing_ok=True)

    def close(self) -> None:
        """Release the lock: from now on, another server may use the directory."""
        os.close(self._lock)


def open_data_directory(path: Path) -> DataDirectory:
    """Create the directory if it does not exist, and lock it. Raises StorageFailed."""
    try:
        path.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
        lock = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise StorageFailed(
            f"jobs cannot be kept in {path} ({exc.strerror}); allowed: a directory that can be written, "
            "given by --data-dir"
        ) from exc
    try:
        _lock(lock, path)
    except BaseException:
        os.close(lock)
        raise
    return DataDirectory(path, lock=lock)


def sync_directory(path: Path) -> None:
    """Wait until the directory's entries are on disk: before that, a crash can lose a new file. Raises OSError."""
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
            "allowed: a directory for each server, given by --data-dir"
        ) from exc
    except OSError as exc:
        raise StorageFailed(
            f"the data directory {path} cannot be locked ({exc.strerror}); "
            "allowed: a directory on a file system with locks, given by --data-dir"
        ) from exc
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    except OSError as exc:
        raise StorageFailed(
            f"the data directory {path} cannot be written ({exc.strerror}); "
            "allowed: a directory with free disk space, given by --data-dir"
        ) from exc
