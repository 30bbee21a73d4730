"""Jobs as values, and the protocol by which a dialect parses and renders its jobs.

Does not know how jobs are stored, run or delivered. Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from hf_asr_endpoint.types import Task, Transcription, TranscriptionOptions

Fields = tuple[tuple[str, str], ...]
"""The text fields of a form as (name, text), in the order in which the client sent them."""


class JobStatus(Enum):
    """The state of the work. `jobs/table.py` lists the transitions."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


class DeliveryStatus(Enum):
    """The state of the delivery to the webhook. `jobs/table.py` lists the transitions."""

    NONE = "none"
    PENDING = "pending"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What the client submitted, except the audio."""

    kind: str
    """The name of the JobKind that parses it."""
    task: Task
    model: str
    """The name of the model, as the client wrote it."""
    version: str | None = None
    """The revision of the model, if the client named one."""
    fields: Fields
    """The other parameters, not parsed: another process may run the job, and parses them itself."""
    webhook: str | None = None
    """The URL that receives the result."""
    owner: str | None = None
    """Of the API key that submitted it; None on a server without keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The delivery of a result to the webhook."""

    status: DeliveryStatus = DeliveryStatus.NONE
    n_attempts: int = 0
    next_attempt_at: float | None = None
    """Set while the status is `PENDING`; before, while the queued work rests."""
    error: str | None = None
    """Why the last attempt failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it is stored."""

    id: str
    spec: JobSpec
    status: JobStatus
    created_at: float
    finished_at: float | None = None
    n_crashes: int = 0
    """How many times a server died, or lost its lease, while it ran the job."""
    n_failures: int = 0
    """How many times the model failed while the job was running."""
    n_unread: int = 0
    """How many times its audio could not be read."""
    runtime_ms: int = 0
    """The duration of the last run."""
    progress: float | None = None
    """Of the run, 0 to 1, as its server last told the others; None: not known."""
    remaining_s: float | None = None
    outcome: dict[str, Any] | None = None
    """The rendered result or error, a JSON object. None before the end, and for a cancelled job."""
    delivery: Delivery = Delivery()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCounts:
    """How many jobs are stored in each status, of the work and of the delivery."""

    jobs: Mapping[str, int] = field(default_factory=dict)
    deliveries: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLimits:
    """How many jobs there may be, how long they are kept, and how often a job is tried."""

    max_queued: int
    max_running: int
    """On this server."""
    max_audio_s: float
    retention_s: float
    """How long a job is kept after its end. A job whose delivery is pending is kept longer."""
    max_crashes: int
    """A job fails when servers have crashed this many times while running it."""
    lease_s: float
    """How long a server that shares the store keeps a job after it was last heard of."""
    max_failures: int = 3
    """A job fails when the model has failed on it this many times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedJob:
    """A spec after parsing."""

    options: TranscriptionOptions
    render: Callable[[Transcription], dict[str, Any]]
    """Return the outcome of a transcription: `{"results": …}`, in the form of the dialect. If it also has an
    `inference_status`, such as the cost, `render_job` merges that with the job's own."""


class JobKind(Protocol):
    """The part of a dialect that parses and renders its jobs. Pure functions, called from any thread.

    The spec may have been stored by an earlier version of this server.
    """

    def parse(self, spec: JobSpec) -> ParsedJob:
        """Parse a spec: once when the client submits it, and once for each run.

        Raises AsrError if the spec is invalid, or if this server does not serve what it requests.
        """
        ...

    def render_failure(self, message: str) -> dict[str, Any]:
        """Return the outcome of a failed job: `{"error": …}`. message: one sentence for the client."""
        ...


def render_job(job: Job) -> dict[str, Any]:
    """Return a job as clients and webhooks receive it, in the form of DeepInfra's API.

    `{"request_id", "inference_status"}`, and after the end of the job its outcome. `runtime_ms` is 0 unless the
    job succeeded, and `cost` is 0 unless the outcome's own `inference_status` says otherwise.
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
