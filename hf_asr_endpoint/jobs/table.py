"""The operations on the table `jobs`: each step in the life of a job is one transaction.

The work:
    queued → running → succeeded | failed
    queued | running → cancelled
    running → queued    when the server stops or has crashed, or when the model failed
The delivery to the webhook, if there is one, begins when the work has succeeded or failed:
    none → pending → delivered | given_up
A cancelled job is never delivered.

An operation that comes too late, such as finishing a job that has been cancelled, changes nothing and returns
False. All methods block, and raise StorageFailed if the disk refuses. `database.py` describes the columns.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from typing import Any

from hf_asr_endpoint.errors import Overloaded
from hf_asr_endpoint.jobs.database import Database, read_job
from hf_asr_endpoint.jobs.job import DeliveryStatus, Job, JobCounts, JobSpec, JobStatus

RETRY_AFTER_S = 30  # for clients, when the queue is full

_UNFINISHED = f"status IN ('{JobStatus.QUEUED.value}', '{JobStatus.RUNNING.value}')"
_REMOVABLE = f"status IN ('{JobStatus.SUCCEEDED.value}', '{JobStatus.FAILED.value}')"
_CLEAR_FIELDS = "fields = '[]'"  # A prompt may be 1,000 times as long as the result, which is kept for days.
_SELECT_ONE = "SELECT * FROM jobs WHERE id = ?"
_COUNT_QUEUED = "SELECT count(*) FROM jobs WHERE status = ?"


def make_id() -> str:
    """Return the id of a new job. It cannot be guessed: a client needs nothing else to read the result."""
    return f"R{secrets.token_hex(16)}"


def check_queue_length(n_queued: int, *, max_queued: int) -> None:
    """Raise Overloaded if the queue is full."""
    if n_queued >= max_queued:
        raise Overloaded(
            f"{n_queued} jobs are queued; allowed: {max_queued} at a time; try again in {RETRY_AFTER_S} s",
            retry_after_s=RETRY_AFTER_S,
        )


class JobTable:
    """The jobs in one database. now: returns the time in Unix seconds."""

    def __init__(self, database: Database, *, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    def add(self, job_id: str, spec: JobSpec, *, max_queued: int) -> Job:
        """Append a job to the queue. Raises Overloaded if `max_queued` jobs are queued."""
        with self._database.transaction() as connection:
            n_queued = connection.execute(_COUNT_QUEUED, (JobStatus.QUEUED.value,)).fetchone()[0]
            check_queue_length(n_queued, max_queued=max_queued)
            connection.execute(
                "INSERT INTO jobs (id, kind, task, model, version, fields, webhook, owner, status, created_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    job_id,
                    spec.kind,
                    spec.task,
                    spec.model,
                    spec.version,
                    json.dumps(spec.fields),
                    spec.webhook,
                    spec.owner,
                    JobStatus.QUEUED.value,
                    self._now(),
                ),
            )
            return read_job(connection.execute(_SELECT_ONE, (job_id,)).fetchone())

    def find(self, job_id: str) -> Job | None:
        rows = self._database.query(_SELECT_ONE, (job_id,))
        return read_job(rows[0]) if rows else None

    def count_queued(self) -> int:
        n_queued: int = self._database.query(_COUNT_QUEUED, (JobStatus.QUEUED.value,))[0][0]
        return n_queued

    def counts(self) -> JobCounts:
        """Return how many jobs there are in each status, of the work and of the delivery."""
        return JobCounts(jobs=self._count("status", JobStatus), deliveries=self._count("delivery", DeliveryStatus))

    def _count(self, column: str, statuses: type[JobStatus | DeliveryStatus]) -> dict[str, int]:
        found = self._database.query(f"SELECT {column}, count(*) FROM jobs GROUP BY {column}")
        return {status.value: 0 for status in statuses} | {row[0]: row[1] for row in found}

    def next_queued(self) -> Job | None:
        """Return the oldest queued job."""
        rows = self._database.query(
            "SELECT * FROM jobs WHERE status = ? ORDER BY number LIMIT 1", (JobStatus.QUEUED.value,)
        )
        return read_job(rows[0]) if rows else None

    def start(self, job_id: str) -> bool:
        """queued → running. False if the job has been cancelled."""
        return self._change(job_id, JobStatus.QUEUED, "status = ?", (JobStatus.RUNNING.value,))

    def requeue(self, job_id: str, *, is_failure: bool = False) -> bool:
        """running → queued, at the job's old position. is_failure: whether to count a failure of the model."""
        return self._change(
            job_id,
            JobStatus.RUNNING,
            "status = ?, n_failures = n_failures + ?",
            (JobStatus.QUEUED.value, int(is_failure)),
        )

    def requeue_all(self) -> None:
        """running → queued for all jobs, when the server stops."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE jobs SET status = ? WHERE status = ?", (JobStatus.QUEUED.value, JobStatus.RUNNING.value)
            )

    def finish(self, job_id: str, status: JobStatus, *, outcome: dict[str, Any], runtime_ms: int) -> bool:
        """running → succeeded | failed. If there is a webhook, the delivery is due at once."""
        now = self._now()
        return self._change(
            job_id,
            JobStatus.RUNNING,
            f"status = ?, outcome = ?, runtime_ms = ?, finished_at = ?, {_CLEAR_FIELDS}, "
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
        """queued | running → cancelled. False if the job has ended or is unknown."""
        with self._database.transaction() as connection:
            cursor = connection.execute(
                f"UPDATE jobs SET status = ?, finished_at = ?, {_CLEAR_FIELDS} WHERE id = ? AND {_UNFINISHED}",
                (JobStatus.CANCELLED.value, self._now(), job_id),
            )
            return cursor.rowcount == 1

    def remove(self, job_id: str) -> bool:
        """Delete a job that has succeeded or failed, delivered or not. False for all others."""
        with self._database.transaction() as connection:
            cursor = connection.execute(f"DELETE FROM jobs WHERE id = ? AND {_REMOVABLE}", (job_id,))
            return cursor.rowcount == 1

    def remove_old(self, *, retention_s: float) -> int:
        """Delete jobs that ended more than `retention_s` ago, except those whose delivery is pending.

        Returns their number. After this, no job that was deleted, by whichever method, is left on the disk.
        """
        with self._database.transaction() as connection:
            cursor = connection.execute(
                f"DELETE FROM jobs WHERE NOT {_UNFINISHED} AND delivery <> ? AND finished_at < ?",
                (DeliveryStatus.PENDING.value, self._now() - retention_s),
            )
            n_jobs = cursor.rowcount
        self._database.truncate_log()
        return n_jobs

    def recover(self) -> frozenset[str]:
        """Queue the jobs that were running when the last process died, and count a crash for each.

        Returns the ids of all unfinished jobs.
        """
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE jobs SET status = ?, n_crashes = n_crashes + 1 WHERE status = ?",
                (JobStatus.QUEUED.value, JobStatus.RUNNING.value),
            )
            return frozenset(row["id"] for row in connection.execute(f"SELECT id FROM jobs WHERE {_UNFINISHED}"))

    def limit_delays(self, *, max_delay_s: float) -> int:
        """Reschedule deliveries that are more than `max_delay_s` ahead: the clock has been set back since.

        Returns their number.
        """
        latest = self._now() + max_delay_s
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "UPDATE jobs SET next_attempt_at = ? WHERE delivery = ? AND next_attempt_at > ?",
                (latest, DeliveryStatus.PENDING.value, latest),
            )
            return cursor.rowcount

    def next_delivery(self, may_send: Callable[[str, str], bool]) -> Job | None:
        """Return the job with the earliest pending delivery, which may lie in the future.

        may_send: given a job's id and webhook, returns whether to consider it.
        """
        with self._database.transaction() as connection:
            pending = connection.execute(
                "SELECT id, webhook FROM jobs WHERE delivery = ? ORDER BY next_attempt_at, number",
                (DeliveryStatus.PENDING.value,),
            )
            for job_id, webhook in pending:
                if may_send(job_id, webhook):
                    return read_job(connection.execute(_SELECT_ONE, (job_id,)).fetchone())
        return None

    def record_attempt(
        self,
        job_id: str,
        status: DeliveryStatus,
        *,
        error: str | None = None,
        next_attempt_at: float | None = None,
    ) -> bool:
        """pending → pending | delivered | given_up, and count an attempt."""
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
        """Update a job if it has this status."""
        with self._database.transaction() as connection:
            cursor = connection.execute(
                f"UPDATE jobs SET {changes} WHERE id = ? AND status = ?", (*values, job_id, status.value)
            )
            return cursor.rowcount == 1
