"""The routes that clients of the task post to."""

from __future__ import annotations

import asyncio
import json

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hf_asr_endpoint.api.admission import Admission
from hf_asr_endpoint.api.body import Body, RequestLimits, read_body
from hf_asr_endpoint.api.disconnect import cancel_on_disconnect
from hf_asr_endpoint.api.encoded_audio import parse_pcm_type
from hf_asr_endpoint.api.endpoints import answering_errors
from hf_asr_endpoint.api.errors import headers_of, status_of
from hf_asr_endpoint.api.huggingface.render import render_error, render_transcription
from hf_asr_endpoint.api.huggingface.request import ParsedRequest, parse_document, parse_raw
from hf_asr_endpoint.audio.source import open_waveform
from hf_asr_endpoint.errors import AsrError, InvalidParameter, InvalidRequest, UnknownModel, UnsupportedAudio
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
        return [Route(path, answering_errors(self.transcribe, answer_error), methods=["POST"]) for path in PATHS]

    async def transcribe(self, request: Request) -> Response:
        """Read, parse, transcribe, render. Raises AsrError."""
        self._check_model(request.path_params.get("model"))
        with self._admission.permit():
            body = await read_body(request, self._limits)
            with body.file:
                parsed = await asyncio.to_thread(self._parse, request, body)
                waveform = open_waveform(parsed.audio, max_audio_s=self._limits.max_audio_s)
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
        query = request.query_params.multi_items()
        if body.form == "multipart":
            raise UnsupportedAudio(
                "the body is a multipart form; allowed: the audio file itself (curl --data-binary @FILE), or JSON"
            )
        media_type = request.headers.get("content-type")
        if body.form == "bytes":
            return parse_raw(body.file, media_type=media_type, query=query)
        try:
            document = json.loads(body.file.read(), object_pairs_hook=_unique_keys)
        except (ValueError, RecursionError) as exc:
            if parse_pcm_type(media_type):  # Samples may begin with any byte, a brace too.
                return parse_raw(body.file, media_type=media_type, query=query)
            raise InvalidRequest(
                f"the body begins like JSON but is not valid ({exc}); allowed: encoded audio, or JSON"
            ) from exc
        return parse_document(document, query=query, max_audio_bytes=self._limits.max_audio_bytes)


def error_response(message: str, status: int, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return an error in this dialect's form."""
    body, own_headers = render_error(message)
    return JSONResponse(body, status_code=status, headers={**own_headers, **(headers or {})})


def answer_error(error: AsrError) -> JSONResponse:
    """Return the answer to a request that fails with `error`."""
    return error_response(str(error), status_of(error), headers_of(error))


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidParameter(f"the JSON body has the key {twice!r} twice; allowed: once")
    return document
