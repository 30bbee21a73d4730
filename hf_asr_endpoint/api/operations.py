"""For platforms and operators: whether the server is ready, what it serves, its limits and its metrics."""

from __future__ import annotations

import logging
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hf_asr_endpoint import __version__
from hf_asr_endpoint.api.body import RequestLimits
from hf_asr_endpoint.api.described import ApiDescription
from hf_asr_endpoint.api.errors import MESSAGE_FORMAT
from hf_asr_endpoint.api.metrics import Metrics
from hf_asr_endpoint.api.operators_description import describe
from hf_asr_endpoint.api.paths import DialectPaths, Prefix, get
from hf_asr_endpoint.api.served_model import ServedModel, ServedModels
from hf_asr_endpoint.errors import JobsUnavailable, StorageFailed
from hf_asr_endpoint.jobs.jobs import Jobs, NoJobs
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import EngineState, ModelInfo
from hf_asr_endpoint.units import SAMPLE_RATE

logger = logging.getLogger(__name__)

PATHS = DialectPaths(
    name="operators",
    main_path="GET /health",
    prefixes=(
        Prefix("/health", (get("", "health"), get("/ready", "health"), get("/live", "live"))),
        Prefix("/info", (get("", "info"),)),
        Prefix("/metrics", (get("", "metrics"),)),
    ),
)


class Operations:
    """`GET /health`, `GET /health/ready`, `GET /health/live`, `GET /info` and `GET /metrics`."""

    paths = PATHS
    error_format = MESSAGE_FORMAT

    def __init__(
        self,
        transcriber: Transcriber,
        *,
        models: ServedModels,
        limits: RequestLimits,
        jobs: Jobs | NoJobs,
        metrics: Metrics,
    ) -> None:
        self._transcriber = transcriber
        self._models = models
        self._limits = limits
        self._jobs = jobs
        self._metrics = metrics

    def routes(self) -> list[Route]:
        return PATHS.routes({"health": self.health, "live": self.live, "info": self.info, "metrics": self.metrics})

    def describe(self) -> ApiDescription:
        return describe(PATHS.endpoints)

    async def health(self, request: Request) -> JSONResponse:
        """Respond 200 when ready, else 503 with the step that loading is at, or with the failure.

        A server that is ready tells as its detail what it lacks.
        """
        health = self._transcriber.health()
        if health.state == "ready":
            return JSONResponse({"status": "ready", **({"detail": health.detail} if health.detail else {})})
        key = "waiting_for" if health.state == "loading" else "error"
        return JSONResponse({"status": health.state, key: health.detail}, status_code=503)

    async def live(self, request: Request) -> JSONResponse:
        """Respond 200, and 503 when only a new process can help: the model cannot be loaded, or has stopped."""
        state = self._transcriber.health().state
        return JSONResponse({"status": state}, status_code=503 if state == "failed" else 200)

    async def info(self, request: Request) -> JSONResponse:
        """Return the model and the limits. `model` is null until it is loaded."""
        health = self._transcriber.health()
        model, job_limits = health.model, self._jobs.limits
        return JSONResponse(
            {
                "server": "hf-asr-endpoint",
                "version": __version__,
                "task": "automatic-speech-recognition",
                "model_id": self._models.default.id,
                "model_names": list(self._models.accepted_names),
                "status": health.state,
                "model": model and _describe(model),
                "models": [self._entry(served) for served in self._models],
                "sampling_rate": SAMPLE_RATE,
                "limits": {
                    "max_audio_bytes": self._limits.max_audio_bytes,
                    "openai_max_audio_bytes": self._limits.openai_max_audio_bytes,
                    "max_audio_s": self._limits.max_audio_s,
                    "max_concurrent_requests": self._limits.max_concurrent_requests,
                },
                "job_limits": job_limits
                and {
                    "max_queued_jobs": job_limits.max_queued,
                    "max_running_jobs": job_limits.max_running,
                    "job_retention_s": job_limits.retention_s,
                },
            }
        )

    def _entry(self, served: ServedModel) -> dict[str, Any]:
        health = self._transcriber.health(served.id)
        return {
            "id": served.id,
            "names": list(served.names),
            "status": health.state,
            "model": health.model and _describe(health.model),
            "engines": [_describe_engine(engine) for engine in health.engines],
        }

    async def metrics(self, request: Request) -> Response:
        """Return the metrics in Prometheus' text format, or as OpenMetrics if the client accepts that."""
        try:
            jobs = await self._jobs.counts()
        except (StorageFailed, JobsUnavailable) as exc:  # All other metrics matter most when something is broken.
            logger.warning("jobs are left out of the metrics: %s", exc)
            jobs = None
        return self._metrics.render(jobs, accept=request.headers.get("accept", ""))


def _describe(model: ModelInfo) -> dict[str, Any]:
    return {
        "engine": model.engine,
        "engine_reason": model.engine_reason,
        "device": model.device,
        "dtype": model.dtype,
        "cpu_level": model.cpu_level,
        "n_threads": model.n_threads,
        "is_multilingual": model.is_multilingual,
        "n_mels": model.n_mels or None,
        "memory_bytes": model.memory_bytes,
    }


def _describe_engine(engine: EngineState) -> dict[str, Any]:
    return {
        "name": engine.name,
        "status": engine.state,
        "detail": engine.detail,
        "restarts": engine.n_restarts,
    }
