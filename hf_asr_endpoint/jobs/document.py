"""A job as clients and receivers see it: what DeepInfra's API calls a request and its inference status."""

from __future__ import annotations

from typing import Any

from hf_asr_endpoint.jobs.job import Job, JobStatus


def render_job(job: Job) -> dict[str, Any]:
    """Return `{"request_id", "inference_status"}` and, once there is one, the result or the error.

    It is what a webhook gets, too. A failure took no time that counts. Nothing costs anything, unless the outcome
    has an `inference_status` that says more.
    """
    outcome = dict(job.outcome or {})
    return {
        "request_id": job.id,
        "inference_status": {
            "status": job.status.value,
            "runtime_ms": job.runtime_ms if job.status is JobStatus.SUCCEEDED else 0,
            "cost": 0.0,
            **outcome.pop("inference_status", {}),
        },
        **outcome,
    }
