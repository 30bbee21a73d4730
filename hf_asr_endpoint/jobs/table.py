"""The operations on the table `jobs`: each step in the life of a job is one transaction.

The work:
    queued → running → succeeded | failed
    queued | running → cancelled
    running → queued    when the server stops or has crashed, the model failed, or the audio could not be read
The delivery to the webhook, if there is one, begins when the work has succeeded or failed:
    none → pending → delivered | given_up
A cancelled job is never delivered.

Who runs a job, or delivers its outcome, claims it first, and holds a lease until it has ended. The holder alone
may end it. A lease that is not renewed runs out; then the job is queued, or its delivery pending, for anybody.

An operation that comes too late, such as finishing a job that has been cancelled, changes nothing and returns
False. All methods block, and raise StorageFailed if the disk refuses. `database.py` describes the columns.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from hf_asr_endpoint.errors import Overloaded
from hf_asr_endpoint.jobs.database import Connection, Database, read_job
from hf_asr_endpoint.jobs.job import DeliveryStatus, Job, JobCounts, JobSpec, JobStatus
from hf_asr_endpoint.jobs.progress import JobProgress
from hf_asr_endpoint.jobs.webhook import receiver_of

RETRY_AFTER_S = 30  # for clients, when the queue is full

_UNFINISHED = f"status IN ('{JobStatus.QUEUED.value}', '{JobStatus.RUNNING.value}')"
_REMOVABLE = f"status IN ('{JobStatus.SUCCEEDED.value}', '{JobStatus.FAILED.value}')"
_CLEAR_FIELDS = "fields = '[]'"  # A prompt may be 1,000 times as long as the result, which is kept for days.
_SELECT_ONE = "SELECT * FROM jobs WHERE id = ?"
_SELECT_HELD = "SELECT * FROM jobs WHERE lease = ?"
_COUNT_QUEUED = "SELECT count(*) AS n FROM jobs WHERE status = ?"
_NO_LEASE = "lease = NULL, lease_until = NULL"
_FREE = (
    f"status = CASE status WHEN '{JobStatus.RUNNING.value}' THEN '{JobStatus.QUEUED.value}' ELSE status END, "
    f"{_NO_LEASE}"
)
_COUNT_CRASH = f"n_crashes = n_crashes + CASE status WHEN '{JobStatus.RUNNING.value}' THEN 1 ELSE 0 END"


def check_queue_length(n_queued: int, *, max_queued: int) -> None:
    """Raise Overloaded if the queue is full."""
    if n_queued >= max_queued:
        raise Overloaded(
            f"{n_queued} jobs are queued; allowed: {max_queued} at a time; try again in {RETRY_AFTER_S} s",
            retry_after_s=RETRY_AFTER_S,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """job: None if none is due yet. due_in_s: seconds until one is; None: none will be by the time alone.

    now: when it was claimed, by the database's clock, as all times of a job.
    """

    now: float
    job: Job | None = None
    due_in_s: float | None = None


class JobTable:
    """The jobs in one database. now: returns the time in Unix seconds; by default, the database's."""

    def __init__(self, database: Database, *, now: Callable[[], float] | None = None) -> None:
        self._database = database
        self._now = now or database.now  # Not called in transactions: it may need a connection of its own.

    def add(self, job_id: str, spec: JobSpec, *, max_queued: int) -> Job:
        """Append a job to the queue. Raises Overloaded if `max_queued` jobs are queued."""
        now = self._now()
        with self._database.transaction(is_exclusive=True) as connection:
            n_queued = connection.execute(_COUNT_QUEUED, (JobStatus.QUEUED.value,)).fetchone()["n"]
            check_queue_length(n_queued, max_queued=max_queued)
            connection.execute(
                "INSERT INTO jobs "
                "(id, kind, task, model, version, fields, webhook, receiver, owner, status, created_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    job_id,
                    spec.kind,
                    spec.task,
                    spec.model,
                    spec.version,
                    json.dumps(spec.fields),
                    spec.webhook,
                    None if spec.webhook is None else receiver_of(spec.webhook),
                    spec.owner,
                    JobStatus.QUEUED.value,
                    now,
                ),
            )
            return read_job(connection.execute(_SELECT_ONE, (job_id,)).fetchone())

    def find(self, job_id: str) -> Job | None:
        rows = self._database.query(_SELECT_ONE, (job_id,))
        return read_job(rows[0]) if rows else None

    def count_queued(self) -> int:
        n_queued: int = self._database.query(_COUNT_QUEUED, (JobStatus.QUEUED.value,))[0]["n"]
        return n_queued

    def counts(self) -> JobCounts:
        """Return how many jobs there are in each status, of the work and of the delivery."""
        return JobCounts(jobs=self._count("status", JobStatus), deliveries=self._count("delivery", DeliveryStatus))

    def _count(self, column: str, statuses: type[JobStatus | DeliveryStatus]) -> dict[str, int]:
        found = self._database.query(f"SELECT {column}, count(*) AS n FROM jobs GROUP BY {column}")
        return {status.value: 0 for status in statuses} | {row[column]: row["n"] for row in found}

    def claim(self, lease: str, *, lease_s: float, max_crashes: int) -> Claim:
        """queued → running, for the oldest queued job that does not rest, unless it has more crashes.

        May be repeated with the same lease, as may `claim_delivery`, when it is not known whether it was stored.
        """
        now, queued = self._now(), JobStatus.QUEUED.value
        with self._database.transaction() as connection:
            row = (
                connection.execute(_SELECT_HELD, (lease,)).fetchone()
                or connection.execute(
                    "UPDATE jobs SET status = ?, lease = ?, lease_until = ?, progress = 0, remaining_s = NULL, "
                    "next_attempt_at = NULL WHERE number = (SELECT number FROM jobs WHERE status = ? "
                    "AND (next_attempt_at IS NULL OR next_attempt_at <= ?) ORDER BY number LIMIT 1 "
                    f"{self._database.skip_locked}) AND n_crashes <= ? RETURNING *",
                    (JobStatus.RUNNING.value, lease, now + lease_s, queued, now, max_crashes),
                ).fetchone()
            )
            if row:
                return Claim(now=now, job=read_job(row))
            return Claim(now=now, due_in_s=_due_in_s(connection, "status", queued, now=now))

    def renew(self, held: Mapping[str, JobProgress], *, lease_s: float) -> frozenset[str]:
        """Make leases last `lease_s` from now, and store how far their jobs are. Returns those that are lost."""
        if not held:
            return frozenset()
        until = self._now() + lease_s
        with self._database.transaction() as connection:
            return frozenset(
                lease
                for lease, progress in held.items()
                if not connection.execute(
                    "UPDATE jobs SET lease_until = ?, progress = ?, remaining_s = ? WHERE lease = ?",
                    (until, progress.fraction, progress.remaining_s, lease),
                ).rowcount
            )

    def free(self, lease: str, *, is_failure: bool = False) -> bool:
        """End a lease: running → queued, at the job's old position. A delivery remains pending.

        is_failure: whether to count a failure of the model.
        """
        return self._change(lease, f"{_FREE}, n_failures = n_failures + ?", (int(is_failure),))

    def rest(self, lease: str, *, rest_s: float) -> bool:
        """running → queued, but nobody may claim the job for `rest_s`: its audio could not be read."""
        until = self._now() + rest_s
        return self._change(lease, f"{_FREE}, n_unread = n_unread + 1, next_attempt_at = ?", (until,))

    def free_expired(self) -> int:
        """End the leases that have run out, and count a crash for each running job. Returns their number."""
        now = self._now()
        with self._database.transaction() as connection:
            return connection.execute(
                f"UPDATE jobs SET {_COUNT_CRASH}, {_FREE} WHERE lease_until < ?", (now,)
            ).rowcount

    def free_all(self) -> None:
        """The same for all leases: no server is alive that holds one."""
        with self._database.transaction() as connection:
            connection.execute(f"UPDATE jobs SET {_COUNT_CRASH}, {_FREE} WHERE lease IS NOT NULL")

    def finish(self, lease: str, status: JobStatus, *, outcome: dict[str, Any], runtime_ms: int) -> bool:
        """running → succeeded | failed. If there is a webhook, the delivery is due at once."""
        now = self._now()
        return self._change(
            lease,
            f"status = ?, outcome = ?, runtime_ms = ?, finished_at = ?, {_CLEAR_FIELDS}, {_NO_LEASE}, "
            "delivery = CASE WHEN webhook IS NULL THEN ? ELSE ? END, "
            "next_attempt_at = CASE WHEN webhook IS NULL THEN NULL ELSE ? END",
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
        now = self._now()
        with self._database.transaction() as connection:
            cursor = connection.execute(
                f"UPDATE jobs SET status = ?, finished_at = ?, next_attempt_at = NULL, {_CLEAR_FIELDS}, "
                f"{_NO_LEASE} WHERE id = ? AND {_UNFINISHED}",
                (JobStatus.CANCELLED.value, now, job_id),
            )
            return cursor.rowcount == 1

    def remove(self, job_id: str) -> bool:
        """Delete a job that has succeeded or failed, delivered or not. False for all others."""
        with self._database.transaction() as connection:
            cursor = connection.execute(f"DELETE FROM jobs WHERE id = ? AND {_REMOVABLE}", (job_id,))
            return cursor.rowcount == 1

    def remove_old(self, *, retention_s: float) -> int:
        """Delete jobs that ended more than `retention_s` ago, except those whose delivery is pending.

        Returns their number. After this, no job that was deleted, by whichever method, is left in SQLite's files.
        """
        ended_before = self._now() - retention_s
        with self._database.transaction() as connection:
            cursor = connection.execute(
                f"DELETE FROM jobs WHERE NOT {_UNFINISHED} AND delivery <> ? AND finished_at < ?",
                (DeliveryStatus.PENDING.value, ended_before),
            )
            n_jobs = cursor.rowcount
        self._database.forget_deleted()
        return n_jobs

    def unfinished(self) -> frozenset[str]:
        """Return the ids of all queued and running jobs."""
        return frozenset(row["id"] for row in self._database.query(f"SELECT id FROM jobs WHERE {_UNFINISHED}"))

    def limit_delays(self, *, max_delay_s: float) -> int:
        """Reschedule work and deliveries more than `max_delay_s` ahead: the clock has been set back since.

        Returns the number of jobs.
        """
        latest = self._now() + max_delay_s
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "UPDATE jobs SET next_attempt_at = ? WHERE next_attempt_at > ?", (latest, latest)
            )
            return cursor.rowcount

    def claim_delivery(self, lease: str, *, lease_s: float, busy: Collection[str] = ()) -> Claim:
        """Claim the earliest pending delivery that is due and that nobody holds. busy: receivers to pass over."""
        now, pending = self._now(), DeliveryStatus.PENDING.value
        others = f"AND receiver NOT IN ({', '.join('?' * len(busy))})" if busy else ""
        with self._database.transaction() as connection:
            row = (
                connection.execute(_SELECT_HELD, (lease,)).fetchone()
                or connection.execute(
                    "UPDATE jobs SET lease = ?, lease_until = ? WHERE number = (SELECT number FROM jobs "
                    f"WHERE delivery = ? AND next_attempt_at <= ? AND lease IS NULL {others} "
                    f"ORDER BY next_attempt_at, number LIMIT 1 {self._database.skip_locked}) RETURNING *",
                    (lease, now + lease_s, pending, now, *busy),
                ).fetchone()
            )
            if row:
                return Claim(now=now, job=read_job(row))
            return Claim(now=now, due_in_s=_due_in_s(connection, "delivery", pending, now=now))

    def record_attempt(
        self,
        lease: str,
        status: DeliveryStatus,
        *,
        error: str | None = None,
        next_attempt_in_s: float | None = None,
    ) -> bool:
        """pending → pending | delivered | given_up, and count an attempt."""
        next_at = None if next_attempt_in_s is None else self._now() + next_attempt_in_s
        return self._change(
            lease,
            f"n_attempts = n_attempts + 1, delivery = ?, next_attempt_at = ?, delivery_error = ?, {_NO_LEASE}",
            (status.value, next_at, error),
        )

    def close(self) -> None:
        self._database.close()

    def _change(self, lease: str, changes: str, values: tuple[object, ...]) -> bool:
        """Update the job of a lease, if it has not been lost."""
        with self._database.transaction() as connection:
            cursor = connection.execute(f"UPDATE jobs SET {changes} WHERE lease = ?", (*values, lease))
            return cursor.rowcount == 1


def _due_in_s(connection: Connection, column: str, state: str, *, now: float) -> float | None:
    """Return the seconds until the next job in a state is due that is not yet; None if there is none."""
    next_at = connection.execute(
        f"SELECT min(next_attempt_at) AS next_at FROM jobs WHERE {column} = ? AND next_attempt_at > ? "
        "AND lease IS NULL",
        (state, now),
    ).fetchone()["next_at"]
    return None if next_at is None else next_at - now
