"""The paths of DeepInfra's native API, which name a model or a deployment of one."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hf_asr_endpoint.api.access import key_owner
from hf_asr_endpoint.api.admission import Admission
from hf_asr_endpoint.api.deepinfra.description import describe
from hf_asr_endpoint.api.deepinfra.errors import ERROR_FORMAT
from hf_asr_endpoint.api.deepinfra.job_kind import make_spec
from hf_asr_endpoint.api.deepinfra.parameters import ParsedParameters, parse_parameters
from hf_asr_endpoint.api.deepinfra.render import Work, render_transcription
from hf_asr_endpoint.api.deepinfra.request import ACCEPTED, ReceivedFields, take_fields
from hf_asr_endpoint.api.deepinfra.schema import VERSION
from hf_asr_endpoint.api.described import ApiDescription
from hf_asr_endpoint.api.paths import DialectPaths, Prefix, post
from hf_asr_endpoint.api.query import read_query
from hf_asr_endpoint.api.responses import render_response
from hf_asr_endpoint.api.served_model import ServedModels
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.jobs.job import render_job
from hf_asr_endpoint.jobs.jobs import JobService

# A deployment comes before a model, whose name would begin with "deploy/". Without a name, the dialect's 404
# lists the names.
PATHS = DialectPaths(
    name="DeepInfra",
    main_path="POST /v1/inference/{model}",
    prefixes=(
        Prefix(
            "/v1/inference",
            (post("/deploy/{model:path}", "infer"), post("/{model:path}", "infer"), post("", "no_name")),
        ),
    ),
)


class DeepInfraDialect:
    """Serves the API."""

    paths = PATHS
    error_format = ERROR_FORMAT

    def __init__(
        self,
        admission: Admission,
        jobs: JobService,
        *,
        models: ServedModels,
        price_per_s: float,
    ) -> None:
        """jobs: for requests with a webhook. price_per_s: of audio, for the `cost` in responses."""
        self._admission = admission
        self._jobs = jobs
        self._models = models
        self._price_per_s = price_per_s

    def routes(self) -> list[Route]:
        return PATHS.routes({"infer": self.infer, "no_name": self.infer})

    def describe(self) -> ApiDescription:
        return describe(PATHS.endpoints)

    async def infer(self, request: Request) -> Response:
        """Read, parse, transcribe, render; with a webhook, submit a job instead. Raises AsrError."""
        model = self._models.choose(request.path_params.get("model", ""), version=_version(request))
        async with AsyncExitStack() as held:
            received = await self._receive(request, held)
            parameters = parse_parameters(received.texts)
            if parameters.webhook is not None:
                return await self._submit(request, received, parameters)
            started = time.perf_counter()
            options = replace(parameters.options, model=model)
            transcription = await self._admission.transcribe(request, received.audio, options)
        work = Work(
            request_id=request.state.request_id,
            runtime_s=time.perf_counter() - started,
            price_per_s=self._price_per_s,
        )
        return await render_response(
            lambda: render_transcription(transcription, work, shows_words=parameters.shows_words)
        )

    async def _submit(self, request: Request, received: ReceivedFields, parameters: ParsedParameters) -> Response:
        """Respond as soon as the job is stored; its result goes to the webhook. Raises AsrError."""
        spec = make_spec(
            received.texts,
            parameters,
            model=request.path_params["model"],
            version=_version(request),
        )
        self._admission.leave_to_job(request)
        owned = replace(spec, owner=key_owner(request))
        return JSONResponse(render_job(await self._jobs.submit(owned, received.audio.to_store())))

    async def _receive(self, request: Request, held: AsyncExitStack) -> ReceivedFields:
        """Receive the body. held: closes its file at the end."""
        query = [(name, text) for name, text in read_query(request) if name != VERSION]
        body = await held.enter_async_context(self._admission.receive(request, ACCEPTED))
        return take_fields(body, query=query)


def _version(request: Request) -> str | None:
    versions = request.query_params.getlist(VERSION)
    if len(versions) > 1:
        raise InvalidParameter(f"{VERSION} is given {len(versions)} times; allowed: once", parameter=VERSION)
    return versions[0] if versions else None
