"""The paths that OpenAI's clients use, DeepInfra's aliases of them among these."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hf_asr_endpoint.api.admission import Admission
from hf_asr_endpoint.api.body import RequestLimits
from hf_asr_endpoint.api.disconnect import cancel_on_disconnect
from hf_asr_endpoint.api.endpoints import Endpoint, answering_errors
from hf_asr_endpoint.api.multipart import FORM_OVERHEAD_BYTES, Form, FormLimits
from hf_asr_endpoint.api.openai.answer import render_body
from hf_asr_endpoint.api.openai.errors import error_response
from hf_asr_endpoint.api.openai.form import (
    check_file,
    check_no_query,
    read_form,
    split_form,
)
from hf_asr_endpoint.api.openai.models import render_model, render_models
from hf_asr_endpoint.api.openai.parameters import ParsedParameters, accepted_names, check_model, parse_parameters
from hf_asr_endpoint.api.openai.stream import write_events
from hf_asr_endpoint.api.sse import EventStream
from hf_asr_endpoint.audio.source import EncodedAudio, open_waveform
from hf_asr_endpoint.errors import AsrError, InvalidParameter, UnsupportedValue
from hf_asr_endpoint.subtitles.cues import CueLimits
from hf_asr_endpoint.transcription.transcriber import Transcriber, transcribe
from hf_asr_endpoint.types import Segment, Task, Transcription, Waveform

PREFIXES = ("/v1", "/v1/openai")
OWN_PATHS = ("/v1/audio", "/v1/models", "/v1/openai")
"""Whatever begins so is answered in OpenAI's form, errors too."""


class OpenAIDialect:
    """Answers the API's requests with one Transcriber's work."""

    def __init__(
        self,
        transcriber: Transcriber,
        *,
        model_names: tuple[str, ...],
        limits: RequestLimits,
        cue_limits: CueLimits,
        admission: Admission,
    ) -> None:
        self._transcriber = transcriber
        self._model_names = model_names
        self._limits = replace(limits, max_audio_bytes=limits.openai_max_audio_bytes + FORM_OVERHEAD_BYTES)
        self._form_limits = FormLimits(max_file_bytes=limits.openai_max_audio_bytes)
        self._cue_limits = cue_limits
        self._admission = admission
        self._created = int(time.time())

    def routes(self) -> list[Route]:
        handlers: dict[str, tuple[str, Endpoint]] = {
            "/audio/transcriptions": ("POST", self.create_transcription),
            "/audio/translations": ("POST", self.create_translation),
            "/models": ("GET", self.list_models),
            "/models/{model:path}": ("GET", self.retrieve_model),
        }
        return [
            Route(prefix + path, answering_errors(handler, self._answer_error), methods=[method])
            for prefix in PREFIXES
            for path, (method, handler) in handlers.items()
        ]

    async def create_transcription(self, request: Request) -> Response:
        return await self._create(request, "transcribe")

    async def create_translation(self, request: Request) -> Response:
        try:
            return await self._create(request, "translate")
        except InvalidParameter as exc:
            if exc.parameter != "task":
                raise
            raise UnsupportedValue(
                "the model that is served here is English-only and cannot translate; "
                "allowed: /v1/audio/transcriptions",
                parameter="model",
            ) from exc

    async def list_models(self, request: Request) -> Response:
        return JSONResponse(render_models(accepted_names(self._model_names), created=self._created))

    async def retrieve_model(self, request: Request) -> Response:
        name: str = request.path_params["model"]
        check_model(name, model_names=self._model_names)
        return JSONResponse(render_model(name, created=self._created))

    async def _create(self, request: Request, task: Task) -> Response:
        """Read, parse, transcribe, render. Raises AsrError."""
        check_no_query(request)
        async with AsyncExitStack() as held:
            held.enter_context(self._admission.permit())
            form = held.enter_context(await self._read_form(request))
            texts, file = split_form(form)
            parameters = parse_parameters(texts, task=task, model_names=self._model_names)
            audio = EncodedAudio(file=check_file(file))
            waveform = open_waveform(audio, max_audio_s=self._limits.max_audio_s)
            if parameters.is_stream:
                return await self._stream(request, waveform, parameters, held)
            transcription = await cancel_on_disconnect(
                request.receive, transcribe(self._transcriber, waveform, parameters.options)
            )
        request.state.audio_s = transcription.duration_s
        return _render(transcription, parameters, self._cue_limits)

    async def _stream(
        self, request: Request, waveform: Iterable[Waveform], parameters: ParsedParameters, held: AsyncExitStack
    ) -> Response:
        """Answer when the first event is there: what fails before has its status. The answer takes over `held`."""
        events = await held.enter_async_context(aclosing(self._transcriber.stream(waveform, parameters.options)))
        first = await cancel_on_disconnect(request.receive, _next(events))

        async def all_events() -> AsyncIterator[Segment | Transcription]:
            event: Segment | Transcription | None = first
            while event is not None:
                if isinstance(event, Transcription):
                    request.state.audio_s = event.duration_s
                yield event
                event = await anext(events, None)

        documents = write_events(all_events(), parameters, max_audio_bytes=self._form_limits.max_file_bytes)
        return EventStream(documents, held=held.pop_all())

    async def _read_form(self, request: Request) -> Form:
        return await read_form(request, limits=self._limits, form_limits=self._form_limits)

    def _answer_error(self, error: AsrError) -> Response:
        return error_response(error, max_audio_bytes=self._form_limits.max_file_bytes)


async def _next(events: AsyncGenerator[Segment | Transcription]) -> Segment | Transcription:
    return await anext(events)


_MEDIA_TYPES = {"srt": "application/x-subrip; charset=utf-8", "vtt": "text/vtt; charset=utf-8"}


def _render(transcription: Transcription, parameters: ParsedParameters, cue_limits: CueLimits) -> Response:
    body = render_body(transcription, parameters, cue_limits)
    if isinstance(body, str):
        return Response(body, media_type=_MEDIA_TYPES.get(parameters.response_format, "text/plain; charset=utf-8"))
    return JSONResponse(body)
