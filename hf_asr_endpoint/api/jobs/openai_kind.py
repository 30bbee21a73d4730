"""Jobs that came in with OpenAI's fields: their results are the bodies that OpenAI's paths answer with."""

from __future__ import annotations

from typing import Any

from hf_asr_endpoint.api.openai.answer import render_body
from hf_asr_endpoint.api.openai.parameters import ParsedParameters, parse_parameters
from hf_asr_endpoint.api.served_model import ServedModel
from hf_asr_endpoint.errors import UnsupportedValue
from hf_asr_endpoint.jobs.job import NewJob
from hf_asr_endpoint.subtitles.cues import CueLimits
from hf_asr_endpoint.types import Transcription, TranscriptionOptions

KIND = "openai"


class OpenAIJobKind:
    """A JobKind. The formats that are text give a text as `results`, the others an object."""

    def __init__(self, *, model: ServedModel, cue_limits: CueLimits) -> None:
        self._model = model
        self._cue_limits = cue_limits

    def options(self, asked: NewJob) -> TranscriptionOptions:
        return self._parse(asked).options

    def success(self, asked: NewJob, transcription: Transcription) -> dict[str, Any]:
        return {"results": render_body(transcription, self._parse(asked), self._cue_limits)}

    def failure(self, asked: NewJob, message: str) -> dict[str, Any]:
        return {"error": message}

    def _parse(self, asked: NewJob) -> ParsedParameters:
        parameters = parse_parameters(asked.fields, task=asked.task, model=self._model)
        if parameters.is_stream:
            raise UnsupportedValue(
                "stream is true, which a job has no place for; allowed: false", parameter="stream"
            )
        return parameters
