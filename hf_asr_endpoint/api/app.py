"""Puts the dialects, the jobs, the operators' routes and the middleware together into one application.

It knows which dialects there are; it knows neither settings nor how its services were made.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.types import Lifespan
from starlette.websockets import WebSocket

from hf_asr_endpoint.api.access import access_middleware
from hf_asr_endpoint.api.admission import Admission
from hf_asr_endpoint.api.asr_webservice.routes import AsrWebserviceDialect
from hf_asr_endpoint.api.cross_origin import cross_origin_middleware
from hf_asr_endpoint.api.deepgram.routes import DeepgramDialect
from hf_asr_endpoint.api.deepinfra.model_schemas import ModelSchemas
from hf_asr_endpoint.api.deepinfra.routes import DeepInfraDialect
from hf_asr_endpoint.api.description.document import write_document
from hf_asr_endpoint.api.description.routes import Description
from hf_asr_endpoint.api.dialect import Dialect
from hf_asr_endpoint.api.errors import ErrorRenderer
from hf_asr_endpoint.api.form_transcription import FormTranscription
from hf_asr_endpoint.api.huggingface.routes import HuggingFaceDialect
from hf_asr_endpoint.api.in_flight import InFlightRequests
from hf_asr_endpoint.api.jobs.routes import JobRoutes
from hf_asr_endpoint.api.live_websocket import LiveWebSockets
from hf_asr_endpoint.api.metrics import ALONE, Metrics
from hf_asr_endpoint.api.middleware import RequestMiddleware
from hf_asr_endpoint.api.mistral.routes import MistralDialect
from hf_asr_endpoint.api.openai.job_kind import OpenAIJobKind
from hf_asr_endpoint.api.openai.routes import OpenAIDialect
from hf_asr_endpoint.api.operations import Operations
from hf_asr_endpoint.api.paths import CleanPaths, PathTable
from hf_asr_endpoint.api.playground import Playground, asks_for_page
from hf_asr_endpoint.api.realtime.routes import RealtimeDialect
from hf_asr_endpoint.api.realtime.secrets import ClientSecrets
from hf_asr_endpoint.api.services import Services
from hf_asr_endpoint.api.unroutable import UnknownPaths, allow_header, refuse_method
from hf_asr_endpoint.api.whispercpp.routes import WhisperCppDialect
from hf_asr_endpoint.api.wyoming.server import WyomingPort, WyomingServer
from hf_asr_endpoint.errors import AsrError
from hf_asr_endpoint.jobs.jobs import Jobs, NoJobs
from hf_asr_endpoint.tracing import flush_traces

LAST_RESPONSES_S = 5.0  # for the responses and the clean-up of requests that a shutdown has ended


def create_app(services: Services, *, wyoming: WyomingPort | None = None) -> Starlette:
    """Return the application. Its startup starts the services, its shutdown closes them.

    wyoming: where it serves clients of that protocol, too.
    """
    in_flight = InFlightRequests(services.limits.max_concurrent_requests)
    jobs = services.jobs or NoJobs("this server does not accept jobs")
    metrics = Metrics(
        services.transcriber,
        models=services.models,
        in_flight=in_flight,
        live=services.live,
        siblings=services.siblings or ALONE,
    )
    secrets = ClientSecrets()
    dialects = make_dialects(services, jobs, in_flight, metrics, secrets)
    paths = PathTable(dialect.paths for dialect in dialects)
    unknown_paths = UnknownPaths(paths)
    render_error = ErrorRenderer(paths, {dialect.paths.name: dialect.error_format for dialect in dialects})

    async def respond_to_error(request: Request, exc: Exception) -> Response:
        return render_error(exc, request.scope)

    async def respond_unserved(request: Request, _: Exception) -> Response:
        method, path = request.method, request.scope["path"]
        methods = paths.methods_of(path)
        if not methods:
            return render_error(unknown_paths.refuse(method, path), request.scope)
        if method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": allow_header(methods)})
        return render_error(refuse_method(method, path, allowed=methods), request.scope)

    async def refuse_socket(websocket: WebSocket) -> None:
        exc = unknown_paths.refuse("GET", websocket.scope["path"])
        await render_error(exc, websocket.scope)(websocket.scope, websocket.receive, websocket.send)

    app = Starlette(
        routes=[
            *(route for dialect in dialects for route in dialect.routes()),
            WebSocketRoute("/{path:path}", refuse_socket),
        ],
        middleware=_middleware(
            services,
            secrets,
            render_error,
            Middleware(
                RequestMiddleware, paths=paths, in_flight=in_flight, metrics=metrics, render_error=render_error
            ),
        ),
        # Starlette's router raises HTTPException, for a path or a method that has no route.
        exception_handlers={AsrError: respond_to_error, HTTPException: respond_unserved},
        lifespan=_lifespan(
            services, jobs, in_flight, _run_wyoming(wyoming, services, in_flight=in_flight, metrics=metrics)
        ),
    )
    app.router.redirect_slashes = False
    return app


def _middleware(
    services: Services, secrets: ClientSecrets, render_error: ErrorRenderer, of_requests: Middleware
) -> list[Middleware]:
    """Return what is around the routes, the outermost first. of_requests: what counts and logs them."""
    return [
        Middleware(CleanPaths, root_path=services.root_path),
        *cross_origin_middleware(services.cors_origins),
        of_requests,
        *access_middleware(
            services.access,
            render_error,
            is_open=asks_for_page if services.has_playground else None,
            find_key=secrets.find_key,
        ),
    ]


def make_dialects(
    services: Services,
    jobs: Jobs | NoJobs,
    in_flight: InFlightRequests,
    metrics: Metrics,
    secrets: ClientSecrets,
) -> list[Dialect]:
    """Return all dialects.

    Of two that serve a path, the first one does: Mistral's clients ask on OpenAI's, and DeepInfra's schemas of a
    model are below OpenAI's list of models.
    """
    transcriber, models, cue_limits = services.transcriber, services.models, services.cue_limits
    admission = Admission(transcriber, [model.id for model in models], limits=services.limits, in_flight=in_flight)
    openai_jobs = OpenAIJobKind(models=models, cue_limits=cue_limits)
    forms = FormTranscription(admission)
    access = services.access
    sockets = LiveWebSockets(
        transcriber, services.live, allows_pages=services.cors_origins if access is None else None
    )

    def write() -> dict[str, Any]:
        return write_document(
            dialects,
            root_path=services.root_path,
            needs_key=lambda path: access is not None and not access.is_open(path),
        )

    dialects: list[Dialect] = [
        HuggingFaceDialect(admission, models=models),
        MistralDialect(admission, models=models),
        ModelSchemas(models=models),
        OpenAIDialect(admission, models=models, cue_limits=cue_limits),
        RealtimeDialect(sockets, admission, models=models, secrets=secrets),
        DeepgramDialect(sockets, models=models),
        DeepInfraDialect(admission, jobs, models=models, price_per_s=services.price_per_s),
        AsrWebserviceDialect(forms, cue_limits=cue_limits),
        WhisperCppDialect(forms, cue_limits=cue_limits),
        JobRoutes(admission, jobs, openai_jobs, root_path=services.root_path),
        *([Playground(root_path=services.root_path)] if services.has_playground else []),
        Operations(transcriber, models=models, limits=services.limits, jobs=jobs, metrics=metrics),
        Description(write, root_path=services.root_path),
    ]
    return dialects


def _run_wyoming(
    port: WyomingPort | None, services: Services, *, in_flight: InFlightRequests, metrics: Metrics
) -> AbstractAsyncContextManager[None]:
    if port is None:
        return nullcontext()
    return WyomingServer(
        port,
        services.transcriber,
        models=services.models,
        sessions=services.live,
        in_flight=in_flight,
        metrics=metrics,
    ).run()


def _lifespan(
    services: Services,
    jobs: Jobs | NoJobs,
    in_flight: InFlightRequests,
    other_port: AbstractAsyncContextManager[None],
) -> Lifespan[Starlette]:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        services.start()
        await jobs.start()
        async with other_port:
            yield
        # Jobs first: they stop and stay queued. Without the model they would fail.
        await jobs.close()
        await asyncio.to_thread(services.transcriber.close)
        # Cancelled requests still get a response: uvicorn ends the process as soon as this returns.
        await in_flight.wait_until_none(LAST_RESPONSES_S)
        await asyncio.to_thread(flush_traces)

    return lifespan
