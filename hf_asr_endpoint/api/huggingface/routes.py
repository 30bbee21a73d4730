"""The task's paths: those of the Inference API, of Inference Endpoints and of transformers' server."""

from __future__ import annotations

import asyncio
import json

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hf_asr_endpoint.api.body import Body, RequestLimits, read_body
from hf_asr_endpoint.api.disconnect import cancel_on_disconnect
from hf_asr_endpoint.api.encoded_audio import parse_pcm_type
from hf_asr_endpoint.api.huggingface.render import render_transcription
from hf_asr_endpoint.api.huggingface.request import ParsedRequest, parse_document, parse_raw
from hf_asr_endpoint.api.in_flight import InFlightRequests
from hf_asr_endpoint.api.responses import render_response
from hf_asr_endpoint.api.served_model import ServedModel
from hf_asr_endpoint.audio.source import WaveformReader
from hf_asr_endpoint.errors import InvalidParameter, InvalidRequest, UnsupportedAudio
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


class HuggingFaceDialect:
    """Serves the task with one Transcriber."""

    def __init__(
        self,
        transcriber: Transcriber,
        *,
        model: ServedModel,
        limits: RequestLimits,
        in_flight: InFlightRequests,
    ) -> None:
        self._transcriber = transcriber
        self._model = model
        self._limits = limits
        self._in_flight = in_flight

    def routes(self) -> list[Route]:
        return [Route(path, self.transcribe, methods=["POST"]) for path in PATHS]

    async def transcribe(self, request: Request) -> Response:
        """Read, parse, transcribe, render. Raises AsrError."""
        if "model" in request.path_params:
            self._model.check(request.path_params["model"])
        with self._in_flight.permit():
            body = await read_body(request, self._limits)
            with body.file:
                parsed = await asyncio.to_thread(self._parse, request, body)
                reader = WaveformReader(parsed.audio, max_audio_s=self._limits.max_audio_s)
                transcription = await cancel_on_disconnect(
                    request.receive, self._transcriber.transcribe(reader, parsed.parameters.options)
                )
        request.state.audio_s = transcription.duration_s
        return await render_response(
            lambda: render_transcription(transcription, return_timestamps=parsed.parameters.return_timestamps)
        )

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


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidParameter(f"the JSON body has the key {twice!r} twice; allowed: once")
    return document
