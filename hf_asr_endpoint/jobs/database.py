"""The table of jobs as both databases have it: its columns, how a row becomes a `Job`, and what a database can do.

`sqlite.py` and `postgres.py` are the databases. Does not know what may happen to a job: `table.py` does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from hf_asr_endpoint.jobs.job import Delivery, DeliveryStatus, Job, JobSpec, JobStatus

VERSION = 6
"""The version of the table."""

COLUMNS = """
    id TEXT NOT NULL UNIQUE,  -- for clients; also the name of the audio file, and the id of the webhook's message

    -- What the client submitted: a JobSpec.
    kind TEXT NOT NULL,
    task TEXT NOT NULL,
    model TEXT NOT NULL,
    version TEXT,
    fields TEXT NOT NULL,  -- a JSON list of [name, text]; empty after the end of the job
    webhook TEXT,
    receiver TEXT,  -- the host and port of the webhook
    owner TEXT,  -- of the API key that submitted it

    -- The work. Times are Unix seconds.
    status TEXT NOT NULL,  -- a JobStatus
    created_at DOUBLE PRECISION NOT NULL,
    finished_at DOUBLE PRECISION,
    n_crashes INTEGER NOT NULL DEFAULT 0,  -- how many times a server died, or lost its lease, while it ran the job
    n_failures INTEGER NOT NULL DEFAULT 0,  -- how many times the model failed on it
    n_unread INTEGER NOT NULL DEFAULT 0,  -- how many times its audio could not be read
    runtime_ms BIGINT NOT NULL DEFAULT 0,  -- the duration of the last run
    progress DOUBLE PRECISION,  -- of the run, 0 to 1, as its server last told; NULL: not known
    remaining_s DOUBLE PRECISION,
    outcome TEXT,  -- the rendered result or error, a JSON object; NULL before the end, and for a cancelled job

    -- The delivery of the outcome to the webhook.
    delivery TEXT NOT NULL DEFAULT 'none',  -- a DeliveryStatus
    n_attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at DOUBLE PRECISION,  -- set while the delivery is pending; before, while the queued work rests
    delivery_error TEXT,  -- why the last attempt failed

    -- The server that runs the job, or that delivers its outcome. Both are NULL while none does.
    lease TEXT UNIQUE,  -- new each time that a server takes the job; changes are accepted from its holder only
    lease_until DOUBLE PRECISION
"""

INDEXES = """
CREATE INDEX jobs_by_status ON jobs (status, number);
CREATE INDEX jobs_by_delivery ON jobs (delivery, next_attempt_at);
"""


class Row(Protocol):
    """A row, by the names of its columns."""

    def __getitem__(self, name: str, /) -> Any: ...


class Cursor(Protocol):
    """What a statement has changed, or found."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """Runs statements in a transaction. Their places for values are question marks."""

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Cursor: ...


class Database(Protocol):
    """All threads may use it. Methods block, and raise StorageFailed."""

    skip_locked: str
    """At the end of a SELECT inside an UPDATE: passes over rows that another server is changing."""

    def transaction(self, *, is_exclusive: bool = False) -> AbstractContextManager[Connection]:
        """Commit everything the block does, or nothing of it. After this, the changes survive a power failure.

        is_exclusive: wait until no other exclusive transaction is open, on any server.
        """
        ...

    def query(self, statement: str, values: Sequence[Any] = ()) -> Sequence[Row]:
        """Return all rows."""
        ...

    def now(self) -> float:
        """Return the time in Unix seconds, by the one clock that all servers of this database go by."""
        ...

    def forget_deleted(self) -> None:
        """Remove what has been deleted from the disk, as far as the database lets us."""
        ...

    def close(self) -> None: ...


def read_job(row: Row) -> Job:
    """Return the job in a row with all columns. Raises ValueError, TypeError or IndexError for a damaged row."""
    return Job(
        id=row["id"],
        spec=JobSpec(
            kind=row["kind"],
            task=row["task"],
            model=row["model"],
            version=row["version"],
            fields=tuple((name, text) for name, text in json.loads(row["fields"])),
            webhook=row["webhook"],
            owner=row["owner"],
        ),
        status=JobStatus(row["status"]),
        created_at=row["created_at"],
        finished_at=row["finished_at"],
        n_crashes=row["n_crashes"],
        n_failures=row["n_failures"],
        n_unread=row["n_unread"],
        runtime_ms=row["runtime_ms"],
        progress=row["progress"],
        remaining_s=row["remaining_s"],
        outcome=None if row["outcome"] is None else json.loads(row["outcome"]),
        delivery=Delivery(
            status=DeliveryStatus(row["delivery"]),
            n_attempts=row["n_attempts"],
            next_attempt_at=row["next_attempt_at"],
            error=row["delivery_error"],
        ),
    )
