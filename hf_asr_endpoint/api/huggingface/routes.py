"""The routes that clients of the task post to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hf_asr_endpoint.api.admission import Admission
from hf_asr_endpoint.api.body import Body, RequestLimits, read_body
from hf_asr_endpoint.api.disconnect import cancel_on_disconnect
from hf_asr_endpoint.api.errors import headers_of, status_of
from hf_asr_endpoint.api.huggingface.inputs import parse_inputs, parse_pcm_type
from hf_asr_endpoint.api.huggingface.parameters import ParsedParameters, parse_parameters, parse_query
from hf_asr_endpoint.api.huggingface.render import render_error, render_transcription
from hf_asr_endpoint.audio.source import AudioSource, EncodedAudio, read_waveform
from hf_asr_endpoint.errors import AsrError, InvalidParameter, InvalidRequest, UnknownModel
from hf_asr_endpoint.transcription.transcriber import Transcriber

PATHS = (
    "/",
    "/v1",
    "/predict",
    "/pipeline/automatic-speech-recognition/{model:path}",
    "/models/{model:path}/pipeline/automatic-speech-recognition",
    "/models/{model:path}",
    "/hf-inference/models/{model:path}",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parsed:
    audio: AudioSource
    parameters: ParsedParameters


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
        self._admission = admission

    def routes(self) -> list[Route]:
        return [Route(path, _answering_errors(self.transcribe), methods=["POST"]) for path in PATHS]

    async def transcribe(self, request: Request) -> Response:
        """Read, parse, transcribe, render. Raises AsrError."""
        self._check_model(request.path_params.get("model"))
        with self._admission.permit():
            body = await read_body(request, self._limits)
            with body.file:
                parsed = await asyncio.to_thread(self._parse, request, body)
                waveform = read_waveform(parsed.audio, max_duration_s=self._limits.max_audio_s)
                transcription = await cancel_on_disconnect(
                    request.receive, self._transcriber.transcribe(waveform, parsed.parameters.options)
                )
        request.state.audio_s = transcription.duration_s
        return JSONResponse(
            render_transcription(transcription, return_timestamps=parsed.parameters.return_timestamps)
        )

    def _check_model(self, name: str | None) -> None:
        if name is not None and name not in self._model_names:
            raise UnknownModel(f"model {name!r} is not served here; allowed: {', '.join(self._model_names)}")

    def _parse(self, request: Request, body: Body) -> _Parsed:
        if body.is_json:
            return self._parse_json(request, body.file.read())
        pcm = parse_pcm_type(request.headers.get("content-type"))
        return _Parsed(
            audio=EncodedAudio(file=body.file, pcm=pcm),
            parameters=parse_query(request.query_params.multi_items()),
        )

    def _parse_json(self, request: Request, content: bytes) -> _Parsed:
        try:
            document = json.loads(content)
        except ValueError as exc:
            raise InvalidRequest(
                f"the body begins like JSON but is not valid ({exc}); allowed: encoded audio, or JSON"
            ) from exc
        if not isinstance(document, dict) or "inputs" not in document:
            raise InvalidRequest(
                'the JSON body has no "inputs"; allowed: {"inputs": "<base64>", "parameters": {…}}'
            )
        if unknown := sorted(document.keys() - {"inputs", "parameters"}):
            raise InvalidParameter(
                f'the JSON body has the unknown key {unknown[0]!r}; allowed: "inputs", "parameters"'
            )
        query = request.query_params.multi_items()
        if query and document.get("parameters") is not None:
            raise InvalidParameter(
                f"parameters are given in the body and in the query string ({query[0][0]!r}); "
                "allowed: one of the two"
            )
        return _Parsed(
            audio=parse_inputs(document["inputs"], max_audio_bytes=self._limits.max_audio_bytes),
            parameters=parse_query(query) if query else parse_parameters(document.get("parameters")),
        )


def error_response(message: str, status: int, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return an error in this dialect's form."""
    body, own_headers = render_error(message)
    return JSONResponse(body, status_code=status, headers={**own_headers, **(headers or {})})


def _answering_errors(
    endpoint: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except AsrError as exc:
            return error_response(str(exc), status_of(exc), headers_of(exc))

    return answer
