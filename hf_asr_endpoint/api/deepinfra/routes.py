"""The paths of DeepInfra's native API: a model, or a deployment of one, by its name."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hf_asr_endpoint.api.admission import Admission
from hf_asr_endpoint.api.body import RequestLimits, read_body
from hf_asr_endpoint.api.deepinfra.errors import error_response
from hf_asr_endpoint.api.deepinfra.parameters import ParsedParameters, parse_parameters
from hf_asr_endpoint.api.deepinfra.render import Work, render_transcription
from hf_asr_endpoint.api.deepinfra.request import Received, take_document, take_form
from hf_asr_endpoint.api.deepinfra.schema import AUDIO
from hf_asr_endpoint.api.deepinfra.served_model import ServedModel
from hf_asr_endpoint.api.disconnect import cancel_on_disconnect
from hf_asr_endpoint.api.endpoints import answering_errors
from hf_asr_endpoint.api.jobs.deepinfra_kind import VERSION, make_job
from hf_asr_endpoint.api.multipart import FORM_OVERHEAD_BYTES, FormLimits, parse_multipart
from hf_asr_endpoint.audio.source import open_waveform
from hf_asr_endpoint.errors import InvalidParameter, UnsupportedValue
from hf_asr_endpoint.jobs.document import render_job
from hf_asr_endpoint.jobs.jobs import JobService
from hf_asr_endpoint.transcription.transcriber import Transcriber, transcribe

# A deployment's id comes first: as a model's name it would begin with "deploy/". Without any name, the answer is a
# 404 that lists the names; Starlette's own would be a redirect, on which clients send nothing, or all audio again.
PATHS = ("/v1/inference/deploy/{model:path}", "/v1/inference/{model:path}", "/v1/inference")


class DeepInfraDialect:
    """Answers the API's requests with one Transcriber's work."""

    def __init__(
        self,
        transcriber: Transcriber,
        jobs: JobService,
        *,
        model: ServedModel,
        price_per_s: float,
        limits: RequestLimits,
        admission: Admission,
    ) -> None:
        """jobs: for requests with a webhook. price_per_s: of audio, for the answers' cost."""
        self._transcriber = transcriber
        self._jobs = jobs
        self._model = model
        self._price_per_s = price_per_s
        self._max_audio_bytes = limits.max_audio_bytes
        self._limits = replace(limits, max_audio_bytes=limits.max_audio_bytes + FORM_OVERHEAD_BYTES)
        self._admission = admission

    def routes(self) -> list[Route]:
        return [Route(path, answering_errors(self.infer, error_response), methods=["POST"]) for path in PATHS]

    async def infer(self, request: Request) -> Response:
        """Read, parse, transcribe, render; or, with a webhook, leave that to a job. Raises AsrError."""
        self._model.check(request.path_params.get("model", ""), version=_version(request))
        with ExitStack() as held:
            held.enter_context(self._admission.permit())
            received = await self._receive(request, held)
            parameters = parse_parameters(received.texts)
            if parameters.webhook is not None:
                return await self._submit(request, received, parameters)
            started = time.perf_counter()
            waveform = open_waveform(received.audio, max_audio_s=self._limits.max_audio_s)
            transcription = await cancel_on_disconnect(
                request.receive, transcribe(self._transcriber, waveform, parameters.options)
            )
        request.state.audio_s = transcription.duration_s
        work = Work(
            request_id=request.state.request_id,
            runtime_s=time.perf_counter() - started,
            price_per_s=self._price_per_s,
        )
        return JSONResponse(render_transcription(transcription, work, shows_words=parameters.shows_words))

    async def _submit(self, request: Request, received: Received, parameters: ParsedParameters) -> Response:
        """Answer as soon as the job is safe; its result goes to the webhook. Raises AsrError."""
        if received.audio.pcm is not None:
            raise UnsupportedValue(
                "audio is samples without a header, whose format a job does not keep; "
                "allowed with webhook: an audio file, such as wav",
                parameter=AUDIO,
            )
        asked = make_job(
            received.texts,
            parameters,
            model=request.path_params["model"],
            version=_version(request),
        )
        return JSONResponse(render_job(await self._jobs.submit(asked, received.audio.file)))

    async def _receive(self, request: Request, held: ExitStack) -> Received:
        """Read the body. held: takes what must stay open as long as the audio is read."""
        query = [(name, text) for name, text in request.query_params.multi_items() if name != VERSION]
        body = await read_body(request, self._limits)
        with body.file:
            if body.form == "json":
                content = await asyncio.to_thread(body.file.read)
                return await asyncio.to_thread(
                    take_document, content, query=query, max_audio_bytes=self._max_audio_bytes
                )
            form = await asyncio.to_thread(
                parse_multipart,
                body.file,
                content_type=request.headers.get("content-type"),
                file_fields=(AUDIO,),
                limits=FormLimits(max_file_bytes=self._max_audio_bytes),
            )
        held.enter_context(form)
        return await asyncio.to_thread(take_form, form, query=query, max_audio_bytes=self._max_audio_bytes)


def _version(request: Request) -> str | None:
    versions = request.query_params.getlist(VERSION)
    if len(versions) > 1:
        raise InvalidParameter(f"{VERSION} is given {len(versions)} times; allowed: once", parameter=VERSION)
    return versions[0] if versions else None
