"""An HTTP replica: the application of a single server, with its keys, limits and jobs, around a RayTranscriber."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ray import serve
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hf_asr_endpoint.api.app import create_app
from hf_asr_endpoint.composition import served_models, services_with
from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.logs import configure_logging
from hf_asr_endpoint.model_choice import choose_models
from hf_asr_endpoint.ray_serve.names import BOARD, engine_name
from hf_asr_endpoint.ray_serve.transcriber import RayTranscriber
from hf_asr_endpoint.setting_types import read_replicas
from hf_asr_endpoint.tracing import start_tracing

NO_JOBS = "this server accepts no jobs, because it has several HTTP replicas and no HF_ASR_JOBS_DATABASE"

REQUEST_ID = "x-request-id"


class Http:
    """The class of the deployment, which Serve completes with the application."""

    def __init__(self, *used: Any) -> None:
        """used: handles of the deployments that this one needs, so that Serve deploys them too."""


class OneRequestId:
    """Leaves the id out of a response where Ray Serve's proxy adds it.

    The proxy gives a request without an `x-request-id` a new one, and repeats the request's in the response.
    A client's id that the application does not take, because it has other than plain characters, differs: then
    the response has both, the application's first.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get(REQUEST_ID) == Headers(scope=scope).get(REQUEST_ID):
                    del headers[REQUEST_ID]
            await send(message)

        await self._app(scope, receive, send_without)


def application_builder(settings: Settings) -> Callable[[], ASGIApp]:
    """Return what makes the application in the process of a replica."""

    def build() -> ASGIApp:
        configure_logging(settings.log_level, settings.log_format)
        start_tracing()
        models = served_models(choose_models(settings))
        context = serve.get_replica_context()
        name = context.app_name
        engines = {
            model.id: serve.get_deployment_handle(engine_name(index, model.id), name)
            for index, model in enumerate(models)
        }
        transcriber = RayTranscriber(
            engines, serve.get_deployment_handle(BOARD, name), replica=context.replica_id.unique_id
        )
        n_most = read_replicas(settings.ray_http_replicas)[1]
        services = services_with(
            transcriber,
            models,
            settings,
            start=transcriber.start,
            no_jobs=NO_JOBS if n_most > 1 and settings.jobs_database is None else None,
        )
        application = create_app(replace(services, siblings=transcriber))
        application.add_middleware(OneRequestId)
        return application

    return build
