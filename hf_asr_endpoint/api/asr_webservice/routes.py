"""The paths of whisper-asr-webservice."""

from __future__ import annotations

import dataclasses
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hf_asr_endpoint.api.asr_webservice.description import describe
from hf_asr_endpoint.api.asr_webservice.errors import ERROR_FORMAT
from hf_asr_endpoint.api.asr_webservice.parameters import ParsedParameters, parse_detection, parse_parameters
from hf_asr_endpoint.api.asr_webservice.render import render_language, render_output
from hf_asr_endpoint.api.asr_webservice.schema import AUDIO_FILE
from hf_asr_endpoint.api.described import ApiDescription
from hf_asr_endpoint.api.encoded_audio import parse_pcm_type
from hf_asr_endpoint.api.form_transcription import FormTranscription, ParsedForm, take_audio
from hf_asr_endpoint.api.multipart import FormBody
from hf_asr_endpoint.api.paths import DialectPaths, Prefix, post
from hf_asr_endpoint.api.query import read_query
from hf_asr_endpoint.audio.source import EncodedAudio
from hf_asr_endpoint.errors import UnsupportedParameter
from hf_asr_endpoint.subtitles.limits import CueLimits

ENGINE = "openai_whisper"
"""Of the engines that the service names in a header, the one whose json is used here."""

_SAMPLES = parse_pcm_type("audio/L16; rate=16000; channels=1; endianness=little-endian")


PATHS = DialectPaths(
    name="whisper-asr-webservice",
    main_path="POST /asr",
    prefixes=(
        Prefix("/asr", (post("", "transcribe"),)),
        Prefix("/detect-language", (post("", "detect_language"),)),
    ),
)


class AsrWebserviceDialect:
    """Serves the API. Its answers are texts for downloading, JSON too, as the service's are."""

    paths = PATHS
    error_format = ERROR_FORMAT

    def __init__(self, transcription: FormTranscription, *, cue_limits: CueLimits) -> None:
        self._transcription = transcription
        self._cue_limits = cue_limits

    def routes(self) -> list[Route]:
        return PATHS.routes({"transcribe": self.transcribe, "detect_language": self.detect_language})

    def describe(self) -> ApiDescription:
        return describe(PATHS.endpoints)

    async def transcribe(self, request: Request) -> Response:
        parameters = parse_parameters(read_query(request))

        def parse(form: FormBody) -> ParsedForm:
            return ParsedForm(
                audio=_take_audio(form, parameters),
                options=parameters.options,
                render=lambda transcription: render_output(transcription, parameters, self._cue_limits),
                headers={
                    "Asr-Engine": ENGINE,
                    "Content-Disposition": f'attachment; filename="{quote(form.filename)}.{parameters.output}"',
                },
            )

        return await self._transcription.respond(request, file_field=AUDIO_FILE, parse=parse)

    async def detect_language(self, request: Request) -> Response:
        parameters = parse_detection(read_query(request))

        def parse(form: FormBody) -> ParsedForm:
            return ParsedForm(
                audio=_take_audio(form, parameters), options=parameters.options, render=render_language
            )

        return await self._transcription.respond(request, file_field=AUDIO_FILE, parse=parse)


def _take_audio(form: FormBody, parameters: ParsedParameters) -> EncodedAudio:
    """Return the file. Raises MissingParameter, and UnsupportedParameter for fields outside the query string."""
    if form.texts:
        name = form.texts[0][0]
        raise UnsupportedParameter(
            f"{name} is in the form; allowed: fields in the query string only, and {AUDIO_FILE} in the form",
            parameter=name,
        )
    audio = take_audio(form, file_field=AUDIO_FILE)
    return audio if parameters.has_header else dataclasses.replace(audio, pcm=_SAMPLES)
