"""What the operations of jobs take and return, and what webhooks receive, for the description of the API."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from hf_asr_endpoint.api.described import (
    ADDRESS,
    BODY_ERRORS,
    EVENTS,
    FORM,
    JSON,
    SPEECH_FILE,
    ApiDescription,
    Content,
    Operation,
)
from hf_asr_endpoint.api.errors import Message
from hf_asr_endpoint.api.field_schemas import Schema, one_of, schema_of
from hf_asr_endpoint.api.meanings import MEANINGS
from hf_asr_endpoint.api.openai.description import example_body, form_schema
from hf_asr_endpoint.api.paths import Endpoint
from hf_asr_endpoint.errors import JobsUnavailable, StorageFailed, UnknownJob, UnknownModel
from hf_asr_endpoint.jobs.job import Job, JobSpec, JobStatus, render_job
from hf_asr_endpoint.types import TASKS

_ID = "R0123456789abcdef0123456789abcdef"
_PATH_FIELDS = {"id": "The request_id of the job."}
Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class InferenceStatus(TypedDict):
    """The last three are those of DeepInfra's answers."""

    status: Status
    runtime_ms: int
    cost: float
    tokens_generated: NotRequired[int]
    tokens_input: NotRequired[int]
    output_length: NotRequired[int]


class Outcome(TypedDict):
    """results: the answer that the transcription's own path would have given. error: why there is none."""

    request_id: str
    inference_status: InferenceStatus
    results: NotRequired[dict[str, Any] | str]
    error: NotRequired[str]


class Delivery(TypedDict):
    """next_attempt_at: Unix time in seconds."""

    status: Literal["none", "pending", "delivered", "given_up"]
    attempts: int
    next_attempt_at: float | None
    error: str | None


class Document(Outcome):
    """progress: 0 to 1. null: not known."""

    progress: float | None
    estimated_remaining_s: float | None
    delivery: Delivery


class Deleted(TypedDict):
    request_id: str
    deleted: Literal[True]


class ProgressEvent(TypedDict):
    type: Literal["job.progress"]
    request_id: str
    status: Status
    progress: float | None
    estimated_remaining_s: float | None


class DoneEvent(Document):
    type: Literal["job.done"]


def _job(status: JobStatus) -> Job:
    spec = JobSpec(kind="openai", task="transcribe", model="whisper-1", fields=())
    outcome = {"results": example_body()} if status is JobStatus.SUCCEEDED else None
    return Job(id=_ID, spec=spec, status=status, created_at=0.0, runtime_ms=210, outcome=outcome)


EXAMPLE_JOB = _job(JobStatus.RUNNING)


def _form() -> Schema:
    more: dict[str, Schema] = {
        "task": {
            "type": "string",
            "enum": list(TASKS),
            "default": TASKS[0],
            "description": MEANINGS["task"],
        },
        "webhook": {"type": "string", "description": "An address to which the result is sent."},
        "stream": {"type": "boolean", "const": False, "description": "A job has no stream. Allowed: false."},
    }
    return form_schema("JobForm", "transcribe", more)


def describe(endpoints: tuple[Endpoint, ...], example: dict[str, Any]) -> ApiDescription:
    """Return the description. example: the document of a job."""
    done = Content(schema=schema_of(Outcome), examples={"succeeded": render_job(_job(JobStatus.SUCCEEDED))})
    return ApiDescription(
        title="Jobs",
        about="Transcriptions that outlive their requests, with the fields of OpenAI's API.",
        endpoints=endpoints,
        operations=_operations(example),
        webhooks={
            "job": Operation(
                summary="The end of a job",
                about="Sent to the job's webhook, until it answers with a status 2xx. Signed as Standard Webhooks "
                "specifies, if the server has a secret.",
                answers={},
                bodies={JSON: done},
            )
        },
    )


def _operations(example: dict[str, Any]) -> dict[str, Operation | None]:
    document = Content(schema=schema_of(Document), examples={"running": example})
    new = {JSON: Content(schema=schema_of(Outcome), examples={"queued": render_job(_job(JobStatus.QUEUED))})}
    reading = (UnknownJob, JobsUnavailable, StorageFailed)
    events = one_of("JobEvent", *map(schema_of, (ProgressEvent, DoneEvent, Message)))
    return {
        "create": Operation(
            summary="Submit a job",
            about="Answered as soon as the audio is stored. The results are kept for a while, and sent to "
            "`webhook`, if it is given.",
            bodies={FORM: Content(schema=_form())},
            form_in_query=True,
            status=202,
            answers=new,
            errors=(*BODY_ERRORS, UnknownModel, JobsUnavailable),
            curl=f"curl {ADDRESS}/v1/jobs -F file=@{SPEECH_FILE} -F response_format=srt",
        ),
        "retrieve": Operation(
            summary="Read a job",
            path_fields=_PATH_FIELDS,
            answers={JSON: document},
            errors=reading,
            curl=f"curl {ADDRESS}/v1/requests/{_ID}",
        ),
        "events": Operation(
            summary="Follow a job",
            about="Events with the progress, two a second at most, and last the whole job.",
            path_fields=_PATH_FIELDS,
            answers={EVENTS: Content(schema={"type": "string"}, events=events)},
            errors=reading,
            curl=f"curl -N {ADDRESS}/v1/requests/{_ID}/events",
        ),
        "end": Operation(
            summary="Cancel or delete a job",
            about="A job that is queued or running is cancelled, a finished one is removed with its results.",
            path_fields=_PATH_FIELDS,
            answers={
                JSON: Content(
                    schema=one_of("Ended", schema_of(Document), schema_of(Deleted)),
                    examples={"deleted": {"request_id": _ID, "deleted": True}},
                )
            },
            errors=reading,
            curl=f"curl -X DELETE {ADDRESS}/v1/requests/{_ID}",
        ),
    }
