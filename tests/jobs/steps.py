"""Steps in the life of a job, done to a table."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from hf_asr_endpoint.jobs.ids import make_lease
from hf_asr_endpoint.jobs.job import DeliveryStatus, Job, JobStatus
from hf_asr_endpoint.jobs.table import JobTable
from tests.jobs.conftest import WEBHOOK, make_spec

LEASE_S = 60.0
RESULT = {"results": {"text": "Grüße"}}


def add(table: JobTable, *job_ids: str, webhook: str | None = WEBHOOK) -> None:
    for job_id in job_ids:
        table.add(job_id, make_spec(webhook=webhook), max_queued=10)


def start(table: JobTable, job_id: str) -> str:
    """Claim a job, and return its lease."""
    passed = []
    while (job := claim(table, lease := make_lease())) and job.id != job_id:
        passed.append(lease)
    for other in passed:
        table.free(other)
    assert job
    return lease


def claim(table: JobTable, lease: str, *, max_crashes: int = 9) -> Job | None:
    return table.claim(lease, lease_s=LEASE_S, max_crashes=max_crashes).job


def succeed(table: JobTable, *job_ids: str) -> None:
    for job_id in job_ids:
        assert finish(table, start(table, job_id))


def finish(table: JobTable, lease: str, status: JobStatus = JobStatus.SUCCEEDED) -> bool:
    return table.finish(lease, status, outcome=RESULT, runtime_ms=12)


def attempt(table: JobTable, job_id: str, status: DeliveryStatus, **values: Any) -> None:
    """Claim the delivery of a job, and record an attempt."""
    passed = []
    while (found := claim_delivery(table, lease := make_lease())) and found.id != job_id:
        passed.append(lease)
    for other in passed:
        table.free(other)
    assert found
    assert table.record_attempt(lease, status, **values)


def claim_delivery(table: JobTable, lease: str, *, busy: Collection[str] = ()) -> Job | None:
    return table.claim_delivery(lease, lease_s=LEASE_S, busy=busy).job


def find(table: JobTable, job_id: str) -> Job:
    job = table.find(job_id)
    assert job is not None
    return job
