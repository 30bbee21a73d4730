"""Jobs with OpenAI's fields: their results are the bodies of OpenAI's paths."""

from __future__ import annotations

from typing import Any

from hf_asr_endpoint.api.openai.answer import render_body
from hf_asr_endpoint.api.openai.parameters import parse_parameters
from hf_asr_endpoint.api.served_model import ServedModels
from hf_asr_endpoint.errors import UnsupportedValue
from hf_asr_endpoint.jobs.job import JobSpec, ParsedJob
from hf_asr_endpoint.subtitles.limits import CueLimits
from hf_asr_endpoint.types import Transcription

KIND = "openai"
MODEL = "model"
"""The field that names the model. A `JobSpec` has it as an attribute, and not among its fields."""


class OpenAIJobKind:
    """The JobKind of this dialect. `results` is a string for text formats, and an object for the others."""

    def __init__(self, *, models: ServedModels, cue_limits: CueLimits) -> None:
        self._models = models
        self._cue_limits = cue_limits

    def parse(self, spec: JobSpec) -> ParsedJob:
        texts = ((MODEL, spec.model), *spec.fields)
        parameters = parse_parameters(texts, task=spec.task, models=self._models)
        if parameters.is_stream:
            raise UnsupportedValue("stream is true, but a job has no stream; allowed: false", parameter="stream")

        def render(transcription: Transcription) -> dict[str, Any]:
            return {"results": render_body(transcription, parameters, self._cue_limits)}

        return ParsedJob(options=parameters.options, render=render)

    def render_failure(self, message: str) -> dict[str, Any]:
        return {"error": message}
