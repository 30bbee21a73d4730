"""The task's paths: those of the Inference API, of Inference Endpoints and of transformers' server."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hf_asr_endpoint.api.admission import Admission
from hf_asr_endpoint.api.body_parser import AcceptedBodies, Body, RawBody
from hf_asr_endpoint.api.described import ApiDescription
from hf_asr_endpoint.api.errors import MESSAGE_FORMAT
from hf_asr_endpoint.api.huggingface.description import describe
from hf_asr_endpoint.api.huggingface.render import render_transcription
from hf_asr_endpoint.api.huggingface.request import AUDIO_KEY, ParsedRequest, parse_document, parse_raw
from hf_asr_endpoint.api.json_body import JsonBody
from hf_asr_endpoint.api.paths import DialectPaths, Prefix, post
from hf_asr_endpoint.api.query import read_query
from hf_asr_endpoint.api.responses import render_response
from hf_asr_endpoint.api.served_model import ServedModels

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
    """Serves the task."""

    paths = PATHS
    error_format = MESSAGE_FORMAT

    def __init__(self, admission: Admission, *, models: ServedModels) -> None:
        self._admission = admission
        self._models = models

    def routes(self) -> list[Route]:
        return PATHS.routes({"transcribe": self.transcribe})

    def describe(self) -> ApiDescription:
        return describe(PATHS.endpoints)

    async def transcribe(self, request: Request) -> Response:
        """Read, parse, transcribe, render. Raises AsrError."""
        model = self._models.choose(request.path_params.get("model"))
        async with self._admission.receive(request, ACCEPTED) as body:
            parsed = await asyncio.to_thread(self._parse, request, body)
            options = replace(parsed.parameters.options, model=model)
            transcription = await self._admission.transcribe(request, parsed.audio, options)
        return await render_response(
            lambda: render_transcription(transcription, return_timestamps=parsed.parameters.return_timestamps)
        )

    def _parse(self, request: Request, body: Body) -> ParsedRequest:
        query = read_query(request)
        if isinstance(body, RawBody):
            return parse_raw(body.file, media_type=request.headers.get("content-type"), query=query)
        assert isinstance(body, JsonBody)
        return parse_document(body.document, query=query, max_audio_bytes=self._admission.limits.max_audio_bytes)
