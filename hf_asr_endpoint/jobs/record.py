"""A row of the table `jobs`, read."""

from __future__ import annotations

import json
import sqlite3

from hf_asr_endpoint.jobs.job import Delivery, DeliveryStatus, Job, JobStatus, NewJob


def read_job(row: sqlite3.Row) -> Job:
    """Return the job that a row, with all of its columns, tells of. Raises ValueError for what none can be."""
    return Job(
        id=row["id"],
        asked=NewJob(
            kind=row["kind"],
            task=row["task"],
            fields=tuple((name, value) for name, value in json.loads(row["fields"])),
            webhook=row["webhook"],
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
