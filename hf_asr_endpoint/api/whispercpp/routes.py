"""The path of whisper.cpp's server."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hf_asr_endpoint.api.described import ApiDescription
from hf_asr_endpoint.api.form_transcription import FormTranscription, ParsedForm, take_audio
from hf_asr_endpoint.api.multipart import FormBody
from hf_asr_endpoint.api.paths import DialectPaths, Prefix, post
from hf_asr_endpoint.api.query import read_query
from hf_asr_endpoint.api.responses import TEXT
from hf_asr_endpoint.api.subtitles import MEDIA_TYPES
from hf_asr_endpoint.api.whispercpp.description import describe
from hf_asr_endpoint.api.whispercpp.errors import ERROR_FORMAT
from hf_asr_endpoint.api.whispercpp.parameters import parse_parameters
from hf_asr_endpoint.api.whispercpp.render import render_body
from hf_asr_endpoint.api.whispercpp.schema import FILE
from hf_asr_endpoint.subtitles.limits import CueLimits

PATHS = DialectPaths(
    name="whisper.cpp", main_path="POST /inference", prefixes=(Prefix("/inference", (post("", "infer"),)),)
)


class WhisperCppDialect:
    """Serves the API."""

    paths = PATHS
    error_format = ERROR_FORMAT

    def __init__(self, transcription: FormTranscription, *, cue_limits: CueLimits) -> None:
        self._transcription = transcription
        self._cue_limits = cue_limits

    def routes(self) -> list[Route]:
        return PATHS.routes({"infer": self.infer})

    def describe(self) -> ApiDescription:
        return describe(PATHS.endpoints)

    async def infer(self, request: Request) -> Response:
        query = read_query(request)

        def parse(form: FormBody) -> ParsedForm:
            parameters = parse_parameters((*query, *form.texts))
            return ParsedForm(
                audio=take_audio(form, file_field=FILE),
                options=parameters.options,
                render=lambda transcription: render_body(transcription, parameters, self._cue_limits),
                text_type=MEDIA_TYPES.get(parameters.response_format, TEXT),
            )

        return await self._transcription.respond(request, file_field=FILE, parse=parse)
