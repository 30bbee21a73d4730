"""Mistral's path, which is OpenAI's: the client decides who answers."""

from __future__ import annotations

from contextlib import AsyncExitStack

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from hf_asr_endpoint.api.admission import Admission
from hf_asr_endpoint.api.described import ApiDescription
from hf_asr_endpoint.api.errors import error_response
from hf_asr_endpoint.api.events import write_events
from hf_asr_endpoint.api.form_transcription import take_audio
from hf_asr_endpoint.api.mistral.description import describe
from hf_asr_endpoint.api.mistral.errors import ERROR_FORMAT
from hf_asr_endpoint.api.mistral.parameters import parse_parameters
from hf_asr_endpoint.api.mistral.render import EventWriter, render_body
from hf_asr_endpoint.api.mistral.schema import FILE
from hf_asr_endpoint.api.paths import DialectPaths
from hf_asr_endpoint.api.query import read_query
from hf_asr_endpoint.api.responses import render_response
from hf_asr_endpoint.api.served_model import ServedModels
from hf_asr_endpoint.api.sse import EventStream
from hf_asr_endpoint.errors import AsrError

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
    """Serves the API. Its errors have Mistral's form, on a path that is also OpenAI's."""

    paths = DialectPaths(name="Mistral", main_path="", prefixes=())
    error_format = ERROR_FORMAT

    def __init__(self, admission: Admission, *, models: ServedModels) -> None:
        self._admission = admission
        self._models = models

    def routes(self) -> list[Route]:
        return [MistralRoute(PATH, self.transcribe, methods=["POST"])]

    def describe(self) -> ApiDescription:
        return describe(PATH)

    async def transcribe(self, request: Request) -> Response:
        try:
            return await self._transcribe(request)
        except AsrError as exc:
            return error_response(exc, ERROR_FORMAT)

    async def _transcribe(self, request: Request) -> Response:
        """Read, parse, transcribe, render. A stream begins with its first event, and closes what is held."""
        query = read_query(request)
        async with AsyncExitStack() as held:
            form = await held.enter_async_context(self._admission.receive_form(request, file_field=FILE))
            parameters = parse_parameters((*query, *form.texts), models=self._models)
            audio = take_audio(form, file_field=FILE)
            if parameters.is_stream:
                stream = await self._admission.stream(request, audio, parameters.options, held=held)
                events = write_events(
                    stream, EventWriter(parameters), state=request.state, error_format=ERROR_FORMAT
                )
                return EventStream(events, held=held.pop_all())
            transcription = await self._admission.transcribe(request, audio, parameters.options)
        return await render_response(lambda: render_body(transcription, parameters))
