"""Mistral's path, which is OpenAI's: the client decides who answers."""

from __future__ import annotations

from contextlib import AsyncExitStack

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from hf_asr_endpoint.api.body import RequestLimits, receive_form
from hf_asr_endpoint.api.body_parser import BodyLimits
from hf_asr_endpoint.api.disconnect import cancel_on_disconnect
from hf_asr_endpoint.api.errors import error_response
from hf_asr_endpoint.api.events import write_events
from hf_asr_endpoint.api.form_transcription import take_audio
from hf_asr_endpoint.api.in_flight import InFlightRequests
from hf_asr_endpoint.api.mistral.errors import ERROR_FORMAT
from hf_asr_endpoint.api.mistral.parameters import parse_parameters
from hf_asr_endpoint.api.mistral.render import EventWriter, render_body
from hf_asr_endpoint.api.mistral.schema import FILE
from hf_asr_endpoint.api.paths import DialectPaths
from hf_asr_endpoint.api.query import read_query
from hf_asr_endpoint.api.responses import render_response
from hf_asr_endpoint.api.served_model import ServedModel
from hf_asr_endpoint.api.sse import EventStream
from hf_asr_endpoint.audio.source import open_waveform
from hf_asr_endpoint.errors import AsrError
from hf_asr_endpoint.transcription.transcriber import Transcriber

PATH = "/v1/audio/transcriptions"

USER_AGENTS = ("user-agent", "x-mistral-user-agent")
"""The headers that name the client: in browsers, which keep the first one for themselves, the second."""


class MistralRoute(Route):
    """A route for Mistral's clients: "mistral-client-python/…", "mistral-client-typescript/…"."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        if match is Match.NONE or not _is_mistral(Headers(scope=scope)):
            return Match.NONE, {}
        return match, child_scope


def _is_mistral(headers: Headers) -> bool:
    return any("mistral" in headers.get(name, "").lower() for name in USER_AGENTS)


class MistralDialect:
    """Serves the API with one Transcriber. Its errors have Mistral's form, on a path that is also OpenAI's."""

    paths = DialectPaths(name="Mistral", main_path="", prefixes=())
    error_format = ERROR_FORMAT

    def __init__(
        self, transcriber: Transcriber, *, model: ServedModel, limits: RequestLimits, in_flight: InFlightRequests
    ) -> None:
        self._transcriber = transcriber
        self._model = model
        self._max_audio_s = limits.max_audio_s
        self._body_limits = BodyLimits(
            max_audio_bytes=limits.max_audio_bytes, upload_idle_timeout_s=limits.upload_idle_timeout_s
        )
        self._in_flight = in_flight

    def routes(self) -> list[Route]:
        return [MistralRoute(PATH, self.transcribe, methods=["POST"])]

    async def transcribe(self, request: Request) -> Response:
        try:
            return await self._transcribe(request)
        except AsrError as exc:
            return error_response(exc, ERROR_FORMAT)

    async def _transcribe(self, request: Request) -> Response:
        """Read, parse, transcribe, render. A stream begins with its first event, and closes what is held."""
        query = read_query(request)
        async with AsyncExitStack() as held:
            held.enter_context(self._in_flight.permit())
            form = await held.enter_async_context(receive_form(request, self._body_limits, file_field=FILE))
            parameters = parse_parameters((*query, *form.texts), model=self._model)
            reader = open_waveform(take_audio(form, file_field=FILE), max_audio_s=self._max_audio_s)
            if parameters.is_stream:
                stream = await self._transcriber.stream(reader, parameters.options)
                held.callback(stream.close)
                await cancel_on_disconnect(request.receive, stream.wait_for_event())
                events = write_events(
                    stream, EventWriter(parameters), state=request.state, error_format=ERROR_FORMAT
                )
                return EventStream(events, held=held.pop_all())
            transcription = await cancel_on_disconnect(
                request.receive, self._transcriber.transcribe(reader, parameters.options)
            )
        request.state.audio_s = transcription.duration_s
        return await render_response(lambda: render_body(transcription, parameters))
