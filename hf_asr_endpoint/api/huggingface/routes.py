"""The task's paths: those of the Inference API, of Inference Endpoints and of transformers' server."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hf_asr_endpoint.api.body import RequestLimits, receive_body
from hf_asr_endpoint.api.body_parser import AcceptedBodies, Body, BodyLimits, RawBody
from hf_asr_endpoint.api.disconnect import cancel_on_disconnect
from hf_asr_endpoint.api.errors import MESSAGE_FORMAT
from hf_asr_endpoint.api.huggingface.render import render_transcription
from hf_asr_endpoint.api.huggingface.request import AUDIO_KEY, ParsedRequest, parse_document, parse_raw
from hf_asr_endpoint.api.in_flight import InFlightRequests
from hf_asr_endpoint.api.json_body import JsonBody
from hf_asr_endpoint.api.paths import DialectPaths, Prefix, post
from hf_asr_endpoint.api.query import read_query
from hf_asr_endpoint.api.responses import render_response
from hf_asr_endpoint.api.served_model import ServedModel
from hf_asr_endpoint.audio.source import open_waveform
from hf_asr_endpoint.transcription.transcriber import Transcriber

ACCEPTED = AcceptedBodies(audio_field=AUDIO_KEY, raw=True, json=True, samples=True)


PATHS = DialectPaths(
    name="Hugging Face",
    main_path="POST /",
    # All paths that no other dialect has below a prefix of its own are below this one.
    prefixes=(
        Prefix(
            "",
            (
                post("/", "transcribe"),
                post("/v1", "transcribe"),
                post("/predict", "transcribe"),
                post("/pipeline/automatic-speech-recognition/{model:path}", "transcribe"),
                post("/models/{model:path}/pipeline/automatic-speech-recognition", "transcribe"),
                post("/models/{model:path}", "transcribe"),
                post("/hf-inference/models/{model:path}", "transcribe"),
            ),
        ),
    ),
)


class HuggingFaceDialect:
    """Serves the task with one Transcriber."""

    paths = PATHS
    error_format = MESSAGE_FORMAT

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
        self._body_limits = BodyLimits(
            max_audio_bytes=limits.max_audio_bytes, upload_idle_timeout_s=limits.upload_idle_timeout_s
        )
        self._in_flight = in_flight

    def routes(self) -> list[Route]:
        return PATHS.routes({"transcribe": self.transcribe})

    async def transcribe(self, request: Request) -> Response:
        """Read, parse, transcribe, render. Raises AsrError."""
        if "model" in request.path_params:
            self._model.check(request.path_params["model"])
        with self._in_flight.permit():
            async with receive_body(request, self._body_limits, ACCEPTED) as body:
                parsed = await asyncio.to_thread(self._parse, request, body)
                reader = open_waveform(
                    parsed.audio,
                    max_audio_s=self._limits.max_audio_s,
                    audio_track=parsed.parameters.options.audio_track,
                )
                transcription = await cancel_on_disconnect(
                    request.receive, self._transcriber.transcribe(reader, parsed.parameters.options)
                )
        request.state.audio_s = transcription.duration_s
        return await render_response(
            lambda: render_transcription(transcription, return_timestamps=parsed.parameters.return_timestamps)
        )

    def _parse(self, request: Request, body: Body) -> ParsedRequest:
        query = read_query(request)
        if isinstance(body, RawBody):
            return parse_raw(body.file, media_type=request.headers.get("content-type"), query=query)
        assert isinstance(body, JsonBody)
        return parse_document(body.document, query=query, max_audio_bytes=self._limits.max_audio_bytes)
