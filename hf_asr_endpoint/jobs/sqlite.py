"""The jobs of a single server, in a SQLite file: how it is opened, and what becomes of one that is damaged."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hf_asr_endpoint.errors import StorageFailed
from hf_asr_endpoint.jobs.data_directory import sync_directory
from hf_asr_endpoint.jobs.database import COLUMNS, INDEXES, VERSION, read_job
from hf_asr_endpoint.jobs.job import DeliveryStatus, JobStatus
from hf_asr_endpoint.jobs.spool import FOLDER as AUDIO_FOLDER

logger = logging.getLogger(__name__)

FILE = "jobs.sqlite3"
BUSY_TIMEOUT_S = 5.0  # for another program, such as a backup, that holds the file

_SCHEMA = f"""
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of submission, and of the queue
    {COLUMNS}
);
{INDEXES}
"""

_CORRUPT_FILE_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_FINAL_STATUSES = [status.value for status in JobStatus if status.is_final]
_FINAL_DELIVERIES = [status.value for status in DeliveryStatus if status is not DeliveryStatus.PENDING]


class SqliteDatabase:
    """One connection, which all threads share, one at a time."""

    skip_locked = ""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    @contextmanager
    def transaction(self, *, is_exclusive: bool = False) -> Iterator[sqlite3.Connection]:
        """Here, all transactions are exclusive."""
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                    self._connection.execute("COMMIT")
                except BaseException:
                    # When the disk is full, SQLite may have rolled back already.
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as exc:
                raise _refused(exc) from exc

    def query(self, statement: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with self._lock:
            try:
                return self._connection.execute(statement, values).fetchall()
            except sqlite3.Error as exc:
                raise _refused(exc) from exc

    def now(self) -> float:
        return time.time()

    def forget_deleted(self) -> None:
        """Copy the write-ahead log into the file and empty it, so that deleted rows are no longer on the disk."""
        self.query("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def open_sqlite(directory: Path) -> SqliteDatabase:
    """Open the file in the data directory, or create it.

    A file that is corrupt, that has an unfinished job which cannot be read, or that has an earlier version is
    renamed, together with the audio of its jobs, and a new file is created.
    Raises StorageFailed if the directory cannot be used, or if the file has a later version.
    """
    path = directory / FILE
    try:
        connection = _connect(path)
    except (sqlite3.DatabaseError, UnicodeDecodeError, OSError) as exc:
        if not _is_unusable_file(exc):
            raise _failed(path, exc) from exc
        _set_aside(directory, str(exc))
        try:
            connection = _connect(path)
        except (sqlite3.DatabaseError, OSError) as again:
            raise _failed(path, again) from again
    return SqliteDatabase(connection)


def _connect(path: Path) -> sqlite3.Connection:
    # SQLite would create a file that every user can read. It gives the log the mode of the database file.
    with contextlib.suppress(OSError):  # SQLite's own error says more.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        connection.text_factory = bytes.decode  # SQLite's own error for invalid UTF-8 contains the text.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        problem = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if problem != "ok":
            raise _UnusableFile(problem)
        _check_version(connection, path)
        _check_unfinished_jobs(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Check the file's version, and create the table if the file is new."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        connection.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version = {VERSION};COMMIT;")
        sync_directory(path.parent)
    elif version < VERSION:
        raise _UnusableFile(f"it has version {version}; this server uses version {VERSION}")
    elif version > VERSION:
        raise StorageFailed(
            f"{path} has version {version}, of a later version of this server; allowed: up to {VERSION}, "
            "or another directory, given by --data-dir"
        )


def _check_unfinished_jobs(connection: sqlite3.Connection) -> None:
    """Read every job that has work or a delivery left: one that cannot be read would block all later ones."""
    statuses, deliveries = (
        ", ".join(f"'{value}'" for value in values) for values in (_FINAL_STATUSES, _FINAL_DELIVERIES)
    )
    try:
        for row in connection.execute(
            f"SELECT * FROM jobs WHERE status NOT IN ({statuses}) OR delivery NOT IN ({deliveries})"
        ):
            read_job(row)
    except (ValueError, TypeError, IndexError) as exc:
        raise _UnusableFile("a job in it cannot be read") from exc


class _UnusableFile(sqlite3.DatabaseError):
    """SQLite can read the file, but this server cannot use it."""


def _is_unusable_file(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    # If the schema is not valid UTF-8, sqlite3 raises UnicodeDecodeError.
    is_ours = isinstance(error, _UnusableFile | UnicodeDecodeError)
    return is_ours or (code is not None and code & 0xFF in _CORRUPT_FILE_CODES)


def _set_aside(directory: Path, reason: str) -> None:
    """Rename the file, its logs and the audio: without the audio, a repaired file would be useless."""
    suffix = f".broken-{time.time_ns()}"
    try:
        for name in (FILE, f"{FILE}-wal", f"{FILE}-shm", AUDIO_FOLDER):
            if (directory / name).exists():
                (directory / name).rename(directory / (name + suffix))
        sync_directory(directory)
    except OSError as exc:
        raise StorageFailed(
            f"{directory / FILE} cannot be used ({reason}) and cannot be renamed ({exc.strerror}); move it away"
        ) from exc
    logger.error(
        "%s cannot be used (%s): it was renamed to %s, its audio to %s, and a new file without jobs was created",
        directory / FILE,
        reason,
        FILE + suffix,
        AUDIO_FOLDER + suffix,
    )


def _failed(path: Path, exc: Exception) -> StorageFailed:
    return StorageFailed(f"jobs cannot be kept in {path} ({exc}); allowed: a writable disk with free space")


def _refused(exc: sqlite3.Error) -> StorageFailed:
    """Return an error for clients, without the server's paths."""
    return StorageFailed(f"jobs cannot be kept ({exc}); allowed: a server with free disk space")
