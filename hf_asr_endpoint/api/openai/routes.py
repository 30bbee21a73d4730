"""The handlers of OpenAI's API."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hf_asr_endpoint.api.body import RequestLimits
from hf_asr_endpoint.api.body_parser import BodyLimits
from hf_asr_endpoint.api.disconnect import cancel_on_disconnect
from hf_asr_endpoint.api.events import write_events
from hf_asr_endpoint.api.in_flight import InFlightRequests
from hf_asr_endpoint.api.openai.answer import render_body
from hf_asr_endpoint.api.openai.deployment import check_deployment, name_model
from hf_asr_endpoint.api.openai.errors import make_error_format
from hf_asr_endpoint.api.openai.form import check_file
from hf_asr_endpoint.api.openai.groq import mark_for_groq
from hf_asr_endpoint.api.openai.models import render_model, render_models
from hf_asr_endpoint.api.openai.parameters import ParsedParameters, parse_parameters
from hf_asr_endpoint.api.openai.paths import PATHS
from hf_asr_endpoint.api.openai.query import check_no_fields, join_fields, read_fields
from hf_asr_endpoint.api.openai.request import receive_fields
from hf_asr_endpoint.api.openai.stream import EventWriter
from hf_asr_endpoint.api.responses import TEXT, render_response
from hf_asr_endpoint.api.served_model import ServedModel
from hf_asr_endpoint.api.sse import EventStream
from hf_asr_endpoint.api.subtitles import MEDIA_TYPES
from hf_asr_endpoint.audio.source import WaveformReader, open_waveform
from hf_asr_endpoint.errors import InvalidParameter, UnknownParameter, UnsupportedValue
from hf_asr_endpoint.subtitles.limits import CueLimits
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import Task


class OpenAIDialect:
    """Serves the API with one Transcriber."""

    paths = PATHS

    def __init__(
        self,
        transcriber: Transcriber,
        *,
        model: ServedModel,
        limits: RequestLimits,
        cue_limits: CueLimits,
        in_flight: InFlightRequests,
    ) -> None:
        self.error_format = make_error_format(max_audio_bytes=limits.openai_max_audio_bytes)
        self._transcriber = transcriber
        self._model = model
        self._max_audio_s = limits.max_audio_s
        self._body_limits = BodyLimits(
            max_audio_bytes=limits.openai_max_audio_bytes, upload_idle_timeout_s=limits.upload_idle_timeout_s
        )
        self._cue_limits = cue_limits
        self._in_flight = in_flight
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
        return JSONResponse(render_models(self._model.accepted_names, created=self._created))

    async def retrieve_model(self, request: Request) -> Response:
        check_no_fields(request)
        name: str = request.path_params["model"]
        self._model.check(name)
        return JSONResponse(render_model(name, created=self._created))

    async def _create(self, request: Request, task: Task) -> Response:
        """Read, parse, transcribe, render. Raises AsrError."""
        deployment = check_deployment(request, self._model)
        query = read_fields(request)
        async with AsyncExitStack() as held:
            held.enter_context(self._in_flight.permit())
            form = await held.enter_async_context(receive_fields(request, self._body_limits))
            texts = name_model(join_fields(query, form.texts), deployment)
            parameters = parse_parameters(texts, task=task, model=self._model)
            reader = open_waveform(
                check_file(form), max_audio_s=self._max_audio_s, audio_track=parameters.options.audio_track
            )
            if parameters.is_stream:
                return await self._stream(request, reader, parameters, held)
            transcription = await cancel_on_disconnect(
                request.receive, self._transcriber.transcribe(reader, parameters.options)
            )
        request.state.audio_s = transcription.duration_s
        return await render_response(
            lambda: mark_for_groq(render_body(transcription, parameters, self._cue_limits), request),
            text_type=MEDIA_TYPES.get(parameters.response_format, TEXT),
        )

    async def _stream(
        self, request: Request, reader: WaveformReader, parameters: ParsedParameters, held: AsyncExitStack
    ) -> Response:
        """Respond once the first event is there, so that an error before it has its own status. Closes `held`."""
        stream = await self._transcriber.stream(reader, parameters.options)
        held.callback(stream.close)
        await cancel_on_disconnect(request.receive, stream.wait_for_event())
        events = write_events(stream, EventWriter(parameters), state=request.state, error_format=self.error_format)
        return EventStream(events, held=held.pop_all())
