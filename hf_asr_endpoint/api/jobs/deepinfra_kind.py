"""Jobs that came in by DeepInfra's `webhook`: their results are the bodies that its paths answer with."""

from __future__ import annotations

from typing import Any

from hf_asr_endpoint.api.deepinfra.parameters import ParsedParameters, parse_parameters
from hf_asr_endpoint.api.deepinfra.render import render_counts, render_results
from hf_asr_endpoint.api.served_model import ServedModel
from hf_asr_endpoint.jobs.job import Fields, NewJob
from hf_asr_endpoint.types import Transcription, TranscriptionOptions

KIND = "deepinfra"

MODEL, VERSION = "model", "version"
"""Of the path and the query string. A job keeps them among its fields, of which none has such a name."""


def make_job(texts: Fields, parameters: ParsedParameters, *, model: str, version: str | None) -> NewJob:
    """Return the job that a request asks for. texts: what `parameters` were parsed from."""
    return NewJob(
        kind=KIND,
        task=parameters.options.task,
        fields=((MODEL, model), (VERSION, version or ""), *texts),
        webhook=parameters.webhook,
    )


class DeepInfraJobKind:
    """A JobKind. price_per_s: of audio, at the time when the job ends."""

    def __init__(self, *, model: ServedModel, price_per_s: float) -> None:
        self._model = model
        self._price_per_s = price_per_s

    def options(self, asked: NewJob) -> TranscriptionOptions:
        fields = dict(asked.fields)
        self._model.check(fields[MODEL], version=fields[VERSION])  # It may be another one by now.
        return _parse(asked).options

    def success(self, asked: NewJob, transcription: Transcription) -> dict[str, Any]:
        return {
            "inference_status": render_counts(transcription, price_per_s=self._price_per_s),
            "results": render_results(transcription, shows_words=_parse(asked).shows_words),
        }

    def failure(self, asked: NewJob, message: str) -> dict[str, Any]:
        return {"error": message}


def _parse(asked: NewJob) -> ParsedParameters:
    return parse_parameters((name, text) for name, text in asked.fields if name not in (MODEL, VERSION))
