"""Every job's record, and each step of its life as one transaction.

Table `jobs`, a row for each job, in the order of their numbers:
  id            as clients know it; also the name of its audio in the spool and of its webhook's message
  kind, task    which dialect it came in by, and what is to be done
  fields        the form's other fields, a JSON list of [name, text]
  webhook       a URL, or NULL
  status        queued → running → succeeded | failed; queued | running → cancelled; running → queued when the
                server stopped or the model failed. succeeded, failed and cancelled are final
  created_at, finished_at  Unix seconds
  n_crashes     how often the process ended without a word while the job was running
  n_failures    how often the model failed at it
  runtime_ms    how long its last run took
  outcome       what its kind made of its end, a JSON object; NULL before, and when cancelled
  delivery      none: without a webhook, before the end, and when cancelled. From the end on: pending → delivered |
                given_up
  n_attempts    how often delivery was tried, and next_attempt_at when it is next, in Unix seconds: with `pending`
  delivery_error  why the last attempt failed

A step that comes too late, such as the end of a job that has been cancelled, changes nothing and says so.
All methods block, and raise StorageFailed when the disk refuses.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Callable
from typing import Any

from hf_asr_endpoint.errors import Overloaded
from hf_asr_endpoint.jobs.database import Database
from hf_asr_endpoint.jobs.job import Delivery, DeliveryStatus, Fields, Job, JobStatus, NewJob

RETRY_AFTER_S = 30  # for a client that finds the queue full

_UNFINISHED = f"status IN ('{JobStatus.QUEUED.value}', '{JobStatus.RUNNING.value}')"
_COUNT_QUEUED = "SELECT count(*) FROM jobs WHERE status = ?"


def make_id() -> str:
    """Return a new job's id. Whoever knows it may read the result, so that nobody can guess it."""
    return f"R{secrets.token_hex(16)}"


class JobStore:
    """The records in one database. now: the time in Unix seconds."""

    def __init__(self, database: Database, *, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    def add(self, job_id: str, asked: NewJob, *, max_queued: int) -> Job:
        """Add a job to the queue. Raises Overloaded when that many are waiting."""
        with self._database.transaction() as connection:
            n_queued = connection.execute(_COUNT_QUEUED, (JobStatus.QUEUED.value,)).fetchone()[0]
            check_room(n_queued, max_queued=max_queued)
            connection.execute(
                "INSERT INTO jobs (id, kind, task, fields, webhook, status, created_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    job_id,
                    asked.kind,
                    asked.task,
                    json.dumps(asked.fields),
                    asked.webhook,
                    JobStatus.QUEUED.value,
                    self._now(),
                ),
            )
            return _read(connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone())

    def find(self, job_id: str) -> Job | None:
        rows = self._database.query("SELECT * FROM jobs WHERE id = ?", (job_id,))
        return _read(rows[0]) if rows else None

    def count_queued(self) -> int:
        n_queued: int = self._database.query(_COUNT_QUEUED, (JobStatus.QUEUED.value,))[0][0]
        return n_queued

    def next_queued(self) -> Job | None:
        """Return the job that has waited longest."""
        rows = self._database.query(
            "SELECT * FROM jobs WHERE status = ? ORDER BY number LIMIT 1", (JobStatus.QUEUED.value,)
        )
        return _read(rows[0]) if rows else None

    def start(self, job_id: str) -> bool:
        """queued → running. False when it has been cancelled meanwhile."""
        return self._change(job_id, JobStatus.QUEUED, "status = ?", (JobStatus.RUNNING.value,))

    def put_back(self, job_id: str, *, is_failure: bool = False) -> bool:
        """running → queued, in its old place. is_failure: whether the model failed at it."""
        return self._change(
            job_id,
            JobStatus.RUNNING,
            "status = ?, n_failures = n_failures + ?",
            (JobStatus.QUEUED.value, int(is_failure)),
        )

    def put_back_all(self) -> None:
        """running → queued, all of them: the server stops on purpose."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE jobs SET status = ? WHERE status = ?", (JobStatus.QUEUED.value, JobStatus.RUNNING.value)
            )

    def finish(self, job_id: str, status: JobStatus, *, outcome: dict[str, Any], runtime_ms: int) -> bool:
        """running → succeeded | failed, and the delivery, if there is a webhook, is due at once."""
        now = self._now()
        return self._change(
            job_id,
            JobStatus.RUNNING,
            "status = ?, outcome = ?, runtime_ms = ?, finished_at = ?, "
            "delivery = iif(webhook IS NULL, ?, ?), next_attempt_at = iif(webhook IS NULL, NULL, ?)",
            (
                status.value,
                json.dumps(outcome, allow_nan=False),
                runtime_ms,
                now,
                DeliveryStatus.NONE.value,
                DeliveryStatus.PENDING.value,
                now,
            ),
        )

    def cancel(self, job_id: str) -> bool:
        """queued | running → cancelled. False when it is already final, or unknown."""
        with self._database.transaction() as connection:
            cursor = connection.execute(
                f"UPDATE jobs SET status = ?, finished_at = ? WHERE id = ? AND {_UNFINISHED}",
                (JobStatus.CANCELLED.value, self._now(), job_id),
            )
            return cursor.rowcount == 1

    def remove(self, job_id: str) -> bool:
        """Forget a job that is final, delivered or not. False when it is not final, or unknown."""
        with self._database.transaction() as connection:
            cursor = connection.execute(f"DELETE FROM jobs WHERE id = ? AND NOT {_UNFINISHED}", (job_id,))
            return cursor.rowcount == 1

    def remove_old(self, *, retention_s: float) -> int:
        """Forget jobs that ended so long ago, but none whose delivery is pending. Returns how many."""
        with self._database.transaction() as connection:
            cursor = connection.execute(
                f"DELETE FROM jobs WHERE NOT {_UNFINISHED} AND delivery <> ? AND finished_at < ?",
                (DeliveryStatus.PENDING.value, self._now() - retention_s),
            )
            return cursor.rowcount

    def recover(self, *, longest_delay_s: float) -> frozenset[str]:
        """Take up what the last process left: what was running is queued again, and counts as crashed.

        longest_delay_s: no delivery is later than so, whatever the clock was. Returns the unfinished jobs' ids.
        """
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE jobs SET status = ?, n_crashes = n_crashes + 1 WHERE status = ?",
                (JobStatus.QUEUED.value, JobStatus.RUNNING.value),
            )
            connection.execute(
                "UPDATE jobs SET next_attempt_at = min(next_attempt_at, ?) WHERE delivery = ?",
                (self._now() + longest_delay_s, DeliveryStatus.PENDING.value),
            )
            return frozenset(row["id"] for row in connection.execute(f"SELECT id FROM jobs WHERE {_UNFINISHED}"))

    def next_deliveries(self, *, limit: int) -> list[Job]:
        """Return jobs whose delivery is pending, the earliest first, due or not."""
        rows = self._database.query(
            "SELECT * FROM jobs WHERE delivery = ? ORDER BY next_attempt_at, number LIMIT ?",
            (DeliveryStatus.PENDING.value, limit),
        )
        return [_read(row) for row in rows]

    def record_attempt(
        self,
        job_id: str,
        status: DeliveryStatus,
        *,
        error: str | None = None,
        next_attempt_at: float | None = None,
    ) -> bool:
        """Count an attempt: pending → pending | delivered | given_up."""
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "UPDATE jobs SET n_attempts = n_attempts + 1, delivery = ?, next_attempt_at = ?, "
                "delivery_error = ? WHERE id = ? AND delivery = ?",
                (status.value, next_attempt_at, error, job_id, DeliveryStatus.PENDING.value),
            )
            return cursor.rowcount == 1

    def close(self) -> None:
        self._database.close()

    def _change(self, job_id: str, status: JobStatus, changes: str, values: tuple[object, ...]) -> bool:
        """Change a job that has this status."""
        with self._database.transaction() as connection:
            cursor = connection.execute(
                f"UPDATE jobs SET {changes} WHERE id = ? AND status = ?", (*values, job_id, status.value)
            )
            return cursor.rowcount == 1


def check_room(n_queued: int, *, max_queued: int) -> None:
    """Raise Overloaded when the queue is full."""
    if n_queued >= max_queued:
        raise Overloaded(
            f"{n_queued} jobs are queued; allowed: {max_queued} at a time; try again in {RETRY_AFTER_S} s",
            retry_after_s=RETRY_AFTER_S,
        )


def _read(row: sqlite3.Row) -> Job:
    return Job(
        id=row["id"],
        asked=NewJob(
            kind=row["kind"], task=row["task"], fields=_read_fields(row["fields"]), webhook=row["webhook"]
        ),
        status=JobStatus(row["status"]),
        created_at=row["created_at"],
        finished_at=row["finished_at"],
        n_crashes=row["n_crashes"],
        n_failures=row["n_failures"],
        runtime_ms=row["runtime_ms"],
        outcome=None if row["outcome"] is None else json.loads(row["outcome"]),
        delivery=Delivery(
            status=DeliveryStatus(row["delivery"]),
            n_attempts=row["n_attempts"],
            next_attempt_at=row["next_attempt_at"],
            error=row["delivery_error"],
        ),
    )


def _read_fields(text: str) -> Fields:
    return tuple((name, value) for name, value in json.loads(text))
