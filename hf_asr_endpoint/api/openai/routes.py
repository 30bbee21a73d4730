"""The handlers of OpenAI's API."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hf_asr_endpoint.api.admission import Admission
from hf_asr_endpoint.api.described import ApiDescription
from hf_asr_endpoint.api.events import write_events
from hf_asr_endpoint.api.openai.answer import render_body
from hf_asr_endpoint.api.openai.deployment import check_deployment, name_model
from hf_asr_endpoint.api.openai.description import describe
from hf_asr_endpoint.api.openai.errors import make_error_format
from hf_asr_endpoint.api.openai.form import check_file
from hf_asr_endpoint.api.openai.groq import mark_for_groq
from hf_asr_endpoint.api.openai.models import render_model
from hf_asr_endpoint.api.openai.parameters import parse_parameters
from hf_asr_endpoint.api.openai.paths import PATHS
from hf_asr_endpoint.api.openai.progress import asks_for_progress
from hf_asr_endpoint.api.openai.query import check_no_fields, join_fields, read_fields
from hf_asr_endpoint.api.openai.request import ACCEPTED, as_form
from hf_asr_endpoint.api.openai.stream import EventWriter
from hf_asr_endpoint.api.responses import TEXT, render_response
from hf_asr_endpoint.api.served_model import ServedModels
from hf_asr_endpoint.api.sse import EventStream
from hf_asr_endpoint.api.subtitles import MEDIA_TYPES
from hf_asr_endpoint.errors import InvalidParameter, UnknownParameter, UnsupportedValue
from hf_asr_endpoint.subtitles.limits import CueLimits
from hf_asr_endpoint.types import Task


class OpenAIDialect:
    """Serves the API."""

    paths = PATHS

    def __init__(self, admission: Admission, *, models: ServedModels, cue_limits: CueLimits) -> None:
        self._max_audio_bytes = admission.limits.openai_max_audio_bytes
        self.error_format = make_error_format(max_audio_bytes=self._max_audio_bytes)
        self._admission = admission
        self._models = models
        self._cue_limits = cue_limits
        self._created = int(time.time())

    def routes(self) -> list[Route]:
        return PATHS.routes(
            {
                "create_transcription": self.create_transcription,
                "create_translation": self.create_translation,
                "list_models": self.list_models,
                "retrieve_model": self.retrieve_model,
            }
        )

    def describe(self) -> ApiDescription:
        return describe()

    async def create_transcription(self, request: Request) -> Response:
        return await self._create(request, "transcribe")

    async def create_translation(self, request: Request) -> Response:
        try:
            return await self._create(request, "translate")
        except InvalidParameter as exc:
            if exc.parameter != "task" or isinstance(exc, UnknownParameter | UnsupportedValue):
                raise
            raise UnsupportedValue(
                "the served model is English-only and cannot translate; allowed: /v1/audio/transcriptions",
                parameter="model",
            ) from exc

    async def list_models(self, request: Request) -> Response:
        check_no_fields(request)
        return JSONResponse({"object": "list", "data": list(map(self._entry, self._models.accepted_names))})

    async def retrieve_model(self, request: Request) -> Response:
        check_no_fields(request)
        return JSONResponse(self._entry(request.path_params["model"]))

    def _entry(self, name: str) -> dict[str, Any]:
        """Return a name's entry in the list of models. Raises UnknownModel."""
        state = self._admission.health(self._models.find(name).id).state
        return render_model(name, created=self._created, state=state)

    async def _create(self, request: Request, task: Task) -> Response:
        """Read, parse, transcribe, render. Raises AsrError."""
        deployment = check_deployment(request, self._models)
        query = read_fields(request)
        async with AsyncExitStack() as held:
            body = await held.enter_async_context(
                self._admission.receive(request, ACCEPTED, max_audio_bytes=self._max_audio_bytes)
            )
            form = as_form(body)
            texts = name_model(join_fields(query, form.texts), deployment, self._models)
            parameters = parse_parameters(texts, task=task, models=self._models)
            audio = check_file(form)
            if parameters.is_stream:
                stream = await self._admission.stream(request, audio, parameters.options, held=held)
                writer = EventWriter(parameters, shows_progress=asks_for_progress(request.headers))
                events = write_events(stream, writer, state=request.state, error_format=self.error_format)
                return EventStream(events, held=held.pop_all())
            transcription = await self._admission.transcribe(request, audio, parameters.options)
        return await render_response(
            lambda: mark_for_groq(render_body(transcription, parameters, self._cue_limits), request),
            text_type=MEDIA_TYPES.get(parameters.response_format, TEXT),
        )
