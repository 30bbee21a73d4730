"""A job as it is kept, and what a dialect does for its own jobs. Frozen values; times are Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from hf_asr_endpoint.types import Task, Transcription, TranscriptionOptions

Fields = tuple[tuple[str, str], ...]
"""A form's fields but the audio, as names and texts, in the order in which the client sent them."""


class JobStatus(Enum):
    """How far the work is. What may follow what is in `jobs/store.py`."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


class DeliveryStatus(Enum):
    """Whether the webhook has the result. What may follow what is in `jobs/store.py`."""

    NONE = "none"
    PENDING = "pending"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """What a client asks for. kind: the name of its dialect's JobKind. webhook: a URL that has been checked."""

    kind: str
    task: Task
    fields: Fields
    webhook: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How the result gets to the webhook. error: why the last attempt failed."""

    status: DeliveryStatus = DeliveryStatus.NONE
    n_attempts: int = 0
    next_attempt_at: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job. outcome: what its kind made of its end, a JSON object; None until then, and when cancelled."""

    id: str
    asked: NewJob
    status: JobStatus
    created_at: float
    finished_at: float | None = None
    n_crashes: int = 0
    """How often the process ended without a word while the job was running."""
    n_failures: int = 0
    """How often the model failed at it."""
    runtime_ms: int = 0
    """How long the run that ended it took."""
    outcome: dict[str, Any] | None = None
    delivery: Delivery = Delivery()


class JobKind(Protocol):
    """What a dialect does for the jobs that came in by it. Pure functions; a later version reads old jobs too."""

    def options(self, asked: NewJob) -> TranscriptionOptions:
        """Return what the client wants. Raises AsrError when that cannot be had, or can no longer."""
        ...

    def success(self, asked: NewJob, transcription: Transcription) -> dict[str, Any]:
        """Return what tells the result beside id and status: `{"results": …}`, as the dialect renders it."""
        ...

    def failure(self, asked: NewJob, message: str) -> dict[str, Any]:
        """Return what tells the client why there is none, in one sentence: `{"error": …}`."""
        ...
