"""The routes that clients of the task post to."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hf_asr_endpoint.api.admission import Admission
from hf_asr_endpoint.api.body import RequestLimits, receive_body
from hf_asr_endpoint.api.body_parser import AcceptedBodies, Body, BodyLimits, RawBody
from hf_asr_endpoint.api.disconnect import cancel_on_disconnect
from hf_asr_endpoint.api.endpoints import answering_errors
from hf_asr_endpoint.api.errors import headers_of, status_of
from hf_asr_endpoint.api.huggingface.render import render_error, render_transcription
from hf_asr_endpoint.api.huggingface.request import AUDIO_KEY, ParsedRequest, parse_document, parse_raw
from hf_asr_endpoint.api.json_body import JsonBody
from hf_asr_endpoint.api.query import read_query
from hf_asr_endpoint.audio.source import read_waveform
from hf_asr_endpoint.errors import AsrError, UnknownModel
from hf_asr_endpoint.transcription.transcriber import Transcriber, transcribe

PATHS = (
    "/",
    "/v1",
    "/predict",
    "/pipeline/automatic-speech-recognition/{model:path}",
    "/models/{model:path}/pipeline/automatic-speech-recognition",
    "/models/{model:path}",
    "/hf-inference/models/{model:path}",
)


ACCEPTED = AcceptedBodies(audio_field=AUDIO_KEY, raw=True, json=True, samples=True)


class HuggingFaceDialect:
    """Answers the task's requests with one Transcriber's work."""

    def __init__(
        self,
        transcriber: Transcriber,
        *,
        model_names: tuple[str, ...],
        limits: RequestLimits,
        admission: Admission,
    ) -> None:
        self._transcriber = transcriber
        self._model_names = model_names
        self._limits = limits
        self._body_limits = BodyLimits(
            max_audio_bytes=limits.max_audio_bytes, upload_idle_timeout_s=limits.upload_idle_timeout_s
        )
        self._admission = admission

    def routes(self) -> list[Route]:
        return [Route(path, answering_errors(self.transcribe, answer_error), methods=["POST"]) for path in PATHS]

    async def transcribe(self, request: Request) -> Response:
        """Read, parse, transcribe, render. Raises AsrError."""
        self._check_model(request.path_params.get("model"))
        with self._admission.permit():
            async with receive_body(request, self._body_limits, ACCEPTED) as body:
                parsed = await asyncio.to_thread(self._parse, request, body)
                waveform = read_waveform(parsed.audio, max_duration_s=self._limits.max_audio_s)
                transcription = await cancel_on_disconnect(
                    request.receive, transcribe(self._transcriber, waveform, parsed.parameters.options)
                )
        request.state.audio_s = transcription.duration_s
        return JSONResponse(
            render_transcription(transcription, return_timestamps=parsed.parameters.return_timestamps)
        )

    def _check_model(self, name: str | None) -> None:
        if name is not None and name not in self._model_names:
            raise UnknownModel(f"model {name!r} is not served here; allowed: {', '.join(self._model_names)}")

    def _parse(self, request: Request, body: Body) -> ParsedRequest:
        query = read_query(request)
        if isinstance(body, RawBody):
            return parse_raw(body.file, media_type=request.headers.get("content-type"), query=query)
        assert isinstance(body, JsonBody)
        return parse_document(body.document, query=query, max_audio_bytes=self._limits.max_audio_bytes)


def error_response(message: str, status: int, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return an error in this dialect's form."""
    body, own_headers = render_error(message)
    return JSONResponse(body, status_code=status, headers={**own_headers, **(headers or {})})


def answer_error(error: AsrError) -> JSONResponse:
    """Return the answer to a request that fails with `error`."""
    return error_response(str(error), status_of(error), headers_of(error))
