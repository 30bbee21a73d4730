"""Puts the dialects, the operators' routes and the middleware together into one application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Lifespan, Receive, Scope, Send

from hf_asr_endpoint.api.admission import Admission
from hf_asr_endpoint.api.body import RequestLimits
from hf_asr_endpoint.api.deepinfra.routes import DeepInfraDialect
from hf_asr_endpoint.api.deepinfra.served_model import ServedModel
from hf_asr_endpoint.api.huggingface.routes import HuggingFaceDialect, error_response
from hf_asr_endpoint.api.jobs.routes import JobRoutes
from hf_asr_endpoint.api.middleware import RequestLogMiddleware
from hf_asr_endpoint.api.openai.errors import plain_error_response
from hf_asr_endpoint.api.openai.job_kind import OpenAIJobKind
from hf_asr_endpoint.api.openai.routes import OWN_PATHS, OpenAIDialect
from hf_asr_endpoint.api.operations import Operations
from hf_asr_endpoint.api.under_way import UnderWay
from hf_asr_endpoint.jobs.jobs import Jobs, NoJobs
from hf_asr_endpoint.subtitles.cues import CueLimits
from hf_asr_endpoint.transcription.transcriber import Transcriber

LAST_ANSWERS_S = 5.0  # seconds that a shutdown waits for the answers of requests whose work it has ended


def create_app(
    transcriber: Transcriber,
    *,
    model_names: tuple[str, ...],
    limits: RequestLimits,
    cue_limits: CueLimits,
    model_revision: str | None = None,
    price_per_s: float = 0.0,
    jobs: Jobs | NoJobs | None = None,
) -> Starlette:
    """Return the application. It owns the transcriber and the jobs: its shutdown closes them.

    model_names: the names clients may use for the model; the first one is shown. model_revision: as the
    settings name it. price_per_s: of audio, for answers that tell a cost.
    cue_limits: how much one cue of a subtitle shows.
    jobs: None where there are none, and their routes say so.
    """
    job_service = jobs or NoJobs("this server keeps no jobs")
    under_way = UnderWay()
    admission = Admission(limits.max_concurrent_requests)
    huggingface = HuggingFaceDialect(transcriber, model_names=model_names, limits=limits, admission=admission)
    openai = OpenAIDialect(
        transcriber, model_names=model_names, limits=limits, cue_limits=cue_limits, admission=admission
    )
    deepinfra = DeepInfraDialect(
        transcriber,
        job_service,
        model=ServedModel(names=model_names, revision=model_revision),
        price_per_s=price_per_s,
        limits=limits,
        admission=admission,
    )
    openai_kind = OpenAIJobKind(model_names=model_names, cue_limits=cue_limits)
    job_routes = JobRoutes(job_service, openai_kind, limits=limits, admission=admission)
    operations = Operations(transcriber, model_names=model_names, limits=limits, job_limits=job_service.limits)
    return Starlette(
        routes=[
            *operations.routes(),
            *job_routes.routes(),
            *openai.routes(),
            *deepinfra.routes(),
            *huggingface.routes(),
        ],
        middleware=[
            Middleware(RequestLogMiddleware, failure=_failure, interruption=_interruption, under_way=under_way)
        ],
        exception_handlers={HTTPException: _unroutable},
        lifespan=_lifespan(transcriber, job_service, under_way),
    )


def _lifespan(transcriber: Transcriber, jobs: Jobs | NoJobs, under_way: UnderWay) -> Lifespan[Starlette]:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await jobs.start()
        yield
        # First the jobs, so that they stop because they must, and not because the model has gone.
        await jobs.close()
        await asyncio.to_thread(transcriber.close)
        # What was cancelled is told so: uvicorn ends the process as soon as this returns.
        await under_way.wait(LAST_ANSWERS_S)

    return lifespan


async def _unroutable(request: Request, exc: Exception) -> Response:
    """404 and 405, which Starlette raises where no dialect answers."""
    assert isinstance(exc, HTTPException)
    message = f"{request.method} {request.url.path}: {exc.detail}"
    if exc.headers and "Allow" in exc.headers:
        message += f"; allowed: {exc.headers['Allow']}"
    return _error(request.url.path, message, exc.status_code, dict(exc.headers or {}))


async def _failure(scope: Scope, receive: Receive, send: Send) -> None:
    message = "the server failed; its log says more under the request id"
    await _error(scope["path"], message, 500, {"x-should-retry": "false"})(scope, receive, send)


async def _interruption(scope: Scope, receive: Receive, send: Send) -> None:
    await _error(scope["path"], "the server is shutting down", 503, {})(scope, receive, send)


def _error(path: str, message: str, status: int, headers: dict[str, str]) -> Response:
    """Return an error in the form of the dialect that a path belongs to.

    DeepInfra's form for what is about no parameter is that of the Hugging Face task.
    """
    is_openai = any(path == own or path.startswith(f"{own}/") for own in OWN_PATHS)
    return (plain_error_response if is_openai else error_response)(message, status, headers)
