"""The paths that OpenAI's clients use, DeepInfra's aliases of them among these."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from hf_asr_endpoint.api.admission import Admission
from hf_asr_endpoint.api.body import RequestLimits, read_body
from hf_asr_endpoint.api.disconnect import cancel_on_disconnect
from hf_asr_endpoint.api.multipart import FORM_OVERHEAD_BYTES, Form, FormLimits, Part, parse_multipart
from hf_asr_endpoint.api.openai.errors import error_response
from hf_asr_endpoint.api.openai.models import render_model, render_models
from hf_asr_endpoint.api.openai.parameters import ParsedParameters, accepted_names, check_model, parse_parameters
from hf_asr_endpoint.api.openai.render import render_json, render_verbose_json
from hf_asr_endpoint.api.openai.stream import write_events
from hf_asr_endpoint.api.sse import EventStream
from hf_asr_endpoint.audio.source import EncodedAudio, read_waveform
from hf_asr_endpoint.errors import AsrError, InvalidParameter, MissingParameter, UnknownParameter, UnsupportedValue
from hf_asr_endpoint.subtitles.cues import CueLimits, make_cues
from hf_asr_endpoint.subtitles.formats import render_srt, render_vtt
from hf_asr_endpoint.transcription.transcriber import Transcriber, transcribe
from hf_asr_endpoint.types import Segment, Task, Transcription, Waveform

PREFIXES = ("/v1", "/v1/openai")
OWN_PATHS = ("/v1/audio", "/v1/models", "/v1/openai")
"""Whatever begins so is answered in OpenAI's form, errors too."""

FILE = "file"


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
        handlers: dict[str, tuple[str, _Endpoint]] = {
            "/audio/transcriptions": ("POST", self.create_transcription),
            "/audio/translations": ("POST", self.create_translation),
            "/models": ("GET", self.list_models),
            "/models/{model:path}": ("GET", self.retrieve_model),
        }
        return [
            Route(prefix + path, self._answering_errors(handler), methods=[method])
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
        _check_no_query(request)
        async with AsyncExitStack() as held:
            held.enter_context(self._admission.permit())
            form = held.enter_context(await self._read_form(request))
            parameters, audio = _parse(form, task=task, model_names=self._model_names)
            waveform = read_waveform(audio, max_duration_s=self._limits.max_audio_s)
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
        body = await read_body(request, self._limits)
        with body.file:
            return await asyncio.to_thread(
                parse_multipart,
                body.file,
                content_type=request.headers.get("content-type"),
                file_fields=(FILE,),
                limits=self._form_limits,
            )

    def _answering_errors(self, endpoint: _Endpoint) -> _Endpoint:
        async def answer(request: Request) -> Response:
            try:
                return await endpoint(request)
            except AsrError as exc:
                return error_response(exc, max_audio_bytes=self._form_limits.max_file_bytes)

        return answer


_Endpoint = Callable[[Request], Awaitable[Response]]


async def _next(events: AsyncGenerator[Segment | Transcription]) -> Segment | Transcription:
    return await anext(events)


def _check_no_query(request: Request) -> None:
    if request.query_params:
        name = next(iter(request.query_params))
        raise UnknownParameter(
            f"the query string has {name[:100]!r}; allowed: parameters in the form only", parameter=name[:100]
        )


def _parse(form: Form, *, task: Task, model_names: tuple[str, ...]) -> tuple[ParsedParameters, EncodedAudio]:
    files = [part for part in form.parts if part.name == FILE]
    texts = [(part.name, _text(part)) for part in form.parts if part.name != FILE]
    parameters = parse_parameters(texts, task=task, model_names=model_names)
    if not files:
        raise MissingParameter("file is missing; allowed: an audio file", parameter=FILE)
    if len(files) > 1 or not files[0].n_bytes:
        what = "is empty" if len(files) == 1 else f"is given {len(files)} times"
        raise InvalidParameter(f"file {what}; allowed: one audio file", parameter=FILE)
    return parameters, EncodedAudio(file=files[0].file)


def _text(part: Part) -> str:
    if part.filename is not None:
        raise InvalidParameter(f"{part.name} is sent as a file; allowed as a file: {FILE}", parameter=part.name)
    return part.text()


def _render(transcription: Transcription, parameters: ParsedParameters, cue_limits: CueLimits) -> Response:
    match parameters.response_format:
        case "json":
            return JSONResponse(render_json(transcription, shows_logprobs=parameters.shows_logprobs))
        case "text":
            return PlainTextResponse(transcription.text + "\n")
        case "srt":
            cues = make_cues(transcription.segments, cue_limits)
            return Response(render_srt(cues), media_type="application/x-subrip; charset=utf-8")
        case "vtt":
            cues = make_cues(transcription.segments, cue_limits)
            return Response(render_vtt(cues), media_type="text/vtt; charset=utf-8")
        case "verbose_json":
            return JSONResponse(
                render_verbose_json(
                    transcription,
                    shows_segments=parameters.shows_segments,
                    shows_words=parameters.shows_words,
                )
            )
