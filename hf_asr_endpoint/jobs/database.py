"""The SQLite file that jobs are in: opened safely, set aside when it is broken, one statement at a time."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hf_asr_endpoint.errors import StorageFailed
from hf_asr_endpoint.jobs.data_directory import sync_directory
from hf_asr_endpoint.jobs.spool import FOLDER as AUDIO_FOLDER

logger = logging.getLogger(__name__)

FILE = "jobs.sqlite3"
VERSION = 1  # of the schema; a later one would say here how an earlier file becomes a later one

SCHEMA = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    task TEXT NOT NULL,
    fields TEXT NOT NULL,
    webhook TEXT,
    status TEXT NOT NULL,
    created_at REAL NOT NULL,
    finished_at REAL,
    n_crashes INTEGER NOT NULL DEFAULT 0,
    n_failures INTEGER NOT NULL DEFAULT 0,
    runtime_ms INTEGER NOT NULL DEFAULT 0,
    outcome TEXT,
    delivery TEXT NOT NULL DEFAULT 'none',
    n_attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at REAL,
    delivery_error TEXT
);
CREATE INDEX jobs_by_status ON jobs (status, number);
CREATE INDEX jobs_by_delivery ON jobs (delivery, next_attempt_at);
"""

_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Database:
    """One connection, which any thread may use, one at a time. Raises StorageFailed for what the disk refuses."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._lock = threading.Lock()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Do all of what is inside, or nothing. When this has ended, it survives the machine."""
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                    self._connection.execute("COMMIT")
                except BaseException:
                    # A full disk may have ended the transaction already.
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as exc:
                raise _failed(self._path, exc) from exc

    def query(self, statement: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Return all rows."""
        with self._lock:
            try:
                return self._connection.execute(statement, values).fetchall()
            except sqlite3.Error as exc:
                raise _failed(self._path, exc) from exc

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def open_database(directory: Path) -> Database:
    """Open the file in a folder that this process has for itself, or begin one.

    A file that is broken is set aside under another name, with the audio of its jobs, and a new one is begun.
    Raises StorageFailed when the folder cannot be used, or the file is of a later version of this program.
    """
    path = directory / FILE
    try:
        connection = _connect(path)
    except sqlite3.DatabaseError as exc:
        if not _is_broken(exc):
            raise _failed(path, exc) from exc
        _set_aside(directory, str(exc))
        try:
            connection = _connect(path)
        except sqlite3.DatabaseError as again:
            raise _failed(path, again) from again
    return Database(connection, path)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise _Broken(found)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise StorageFailed(
                f"{path} has version {version}, of a later version of this server; allowed: up to {VERSION}, "
                "or another folder, given by --data-dir"
            )
        if version == 0:
            connection.executescript(f"BEGIN;{SCHEMA}PRAGMA user_version = {VERSION};COMMIT;")
            sync_directory(path.parent)
    except BaseException:
        connection.close()
        raise
    return connection


class _Broken(sqlite3.DatabaseError):
    """SQLite reads the file, and finds it inconsistent."""


def _is_broken(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, _Broken) or (code is not None and code & 0xFF in _BROKEN)


def _set_aside(directory: Path, reason: str) -> None:
    """Rename the file, what belongs to it, and the audio, without which a repaired file would be of no use."""
    suffix = f".broken-{time.time_ns()}"
    names = [FILE, f"{FILE}-wal", f"{FILE}-shm", AUDIO_FOLDER]
    try:
        for name in names:
            if (directory / name).exists():
                (directory / name).rename(directory / (name + suffix))
        sync_directory(directory)
    except OSError as exc:
        raise StorageFailed(
            f"{directory / FILE} is broken ({reason}) and cannot be set aside ({exc.strerror}); move it away"
        ) from exc
    logger.error(
        "%s is broken (%s): it is kept as %s, its audio as %s, and a new one is begun without its jobs",
        directory / FILE,
        reason,
        FILE + suffix,
        AUDIO_FOLDER + suffix,
    )


def _failed(path: Path, exc: sqlite3.Error) -> StorageFailed:
    return StorageFailed(f"jobs cannot be kept in {path} ({exc}); allowed: a disk with room that can be written")
