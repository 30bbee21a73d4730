"""What the operators' paths and the pages return, for the description of the API."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from hf_asr_endpoint.api.described import ADDRESS, JSON, ApiDescription, Content, Operation
from hf_asr_endpoint.api.field_schemas import schema_of
from hf_asr_endpoint.api.paths import Endpoint
from hf_asr_endpoint.errors import MethodNotAllowed
from hf_asr_endpoint.types import Engine as EngineName
from hf_asr_endpoint.types import EngineStatus

State = Literal["loading", "ready", "failed", "unloaded"]


class Health(TypedDict):
    """waiting_for: the step that loading is at. error: why the model cannot be used. detail: what a server lacks
    that is ready, such as an engine replica."""

    status: State
    detail: NotRequired[str]
    waiting_for: NotRequired[str]
    error: NotRequired[str]


class Live(TypedDict):
    status: State


class Loaded(TypedDict):
    """engine: native or transformers. cpu_level: null where the kernels of the server are not used.

    n_mels: null for models that are not Whisper.
    """

    engine: EngineName
    engine_reason: str
    device: str
    dtype: str
    cpu_level: str | None
    n_threads: int
    is_multilingual: bool
    n_mels: int | None
    memory_bytes: int


class Engine(TypedDict):
    """name: of its device. detail: what it waits for, or why it failed. restarts: of its process."""

    name: str
    status: EngineStatus
    detail: str
    restarts: int


class ModelEntry(TypedDict):
    """engines: those in processes of their own; empty where the server's process has the only one."""

    id: str
    names: list[str]
    status: State
    model: Loaded | None
    engines: list[Engine]


class Limits(TypedDict):
    max_audio_bytes: int
    openai_max_audio_bytes: int
    max_audio_s: float
    max_concurrent_requests: int


class JobLimits(TypedDict):
    max_queued_jobs: int
    max_running_jobs: int
    job_retention_s: float


class Info(TypedDict):
    """model: null until it is loaded. job_limits: null without jobs."""

    server: str
    version: str
    task: str
    model_id: str
    model_names: list[str]
    status: State
    model: Loaded | None
    models: list[ModelEntry]
    sampling_rate: int
    limits: Limits
    job_limits: JobLimits | None


def describe(endpoints: tuple[Endpoint, ...]) -> ApiDescription:
    """Return the description of the operators' paths."""
    health = {JSON: Content(schema=schema_of(Health), examples={"ready": {"status": "ready"}})}
    not_ready = Content(
        schema=schema_of(Health), examples={"loading": {"status": "loading", "waiting_for": "the weights"}}
    )
    live = {JSON: Content(schema=schema_of(Live), examples={"ready": {"status": "ready"}})}
    text: dict[str, Any] = {"type": "string"}
    return ApiDescription(
        title="Operators",
        about="For platforms and monitors.",
        endpoints=endpoints,
        operations={
            "health": Operation(
                summary="Whether the server is ready",
                about="503 until the model is loaded. Requests that arrive before wait for it.",
                answers=health,
                other_answers={503: {JSON: not_ready}},
                curl=f"curl {ADDRESS}/health",
            ),
            "live": Operation(
                summary="Whether the process is of use",
                about="503 only if a new process is needed.",
                answers=live,
                other_answers={503: live},
                curl=f"curl {ADDRESS}/health/live",
            ),
            "info": Operation(
                summary="The models and the limits",
                answers={JSON: Content(schema=schema_of(Info))},
                curl=f"curl {ADDRESS}/info",
            ),
            "metrics": Operation(
                summary="Metrics",
                about="In Prometheus' text format, or as OpenMetrics for clients that accept it.",
                answers={
                    "text/plain": Content(schema=text),
                    "application/openmetrics-text": Content(schema=text),
                },
                curl=f"curl {ADDRESS}/metrics",
            ),
        },
    )


def describe_playground(endpoints: tuple[Endpoint, ...]) -> ApiDescription:
    """Return the description of the page for browsers."""
    html = Content(schema={"type": "string"})
    return ApiDescription(
        title="Playground",
        about="A page to try the server with.",
        endpoints=endpoints,
        operations={
            "page": Operation(
                summary="The playground",
                about="For clients that accept `text/html`; for others, the method is not allowed.",
                answers={"text/html": html},
                errors=(MethodNotAllowed,),
                curl=f"curl -H 'Accept: text/html' {ADDRESS}/",
            ),
            "file": None,
        },
    )
