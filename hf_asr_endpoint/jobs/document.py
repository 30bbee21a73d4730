"""A job as clients and receivers see it: what DeepInfra's API calls a request and its inference status."""

from __future__ import annotations

from typing import Any

from hf_asr_endpoint.jobs.job import Job, JobStatus


def render_job(job: Job) -> dict[str, Any]:
    """Return `{"request_id", "inference_status"}` and, once there is one, the result or the error.

    It is what a webhook gets, too. Nothing costs anything here; a failure took no time that counts.
    """
    return {
        "request_id": job.id,
        "inference_status": {
            "status": job.status.value,
            "runtime_ms": job.runtime_ms if job.status is JobStatus.SUCCEEDED else 0,
            "cost": 0.0,
        },
        **(job.outcome or {}),
    }
