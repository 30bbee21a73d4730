"""Jobs of requests with a `webhook`. Their results are the bodies that requests without a webhook get."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hf_asr_endpoint.api.deepinfra.parameters import ParsedParameters, parse_parameters
from hf_asr_endpoint.api.deepinfra.render import render_counts, render_results
from hf_asr_endpoint.api.served_model import ServedModels
from hf_asr_endpoint.jobs.job import Fields, JobSpec, ParsedJob
from hf_asr_endpoint.types import Transcription

KIND = "deepinfra"


def make_spec(texts: Fields, parameters: ParsedParameters, *, model: str, version: str | None) -> JobSpec:
    """Return the job of a request that has been parsed.

    texts: the fields that `parameters` were parsed from. model, version: from the path and the query string.
    """
    return JobSpec(
        kind=KIND,
        task=parameters.options.task,
        model=model,
        version=version or None,
        fields=tuple((name, text) for name, text in texts if name != "webhook"),
        webhook=parameters.webhook,
    )


class DeepInfraJobKind:
    """The JobKind of this dialect."""

    def __init__(self, *, models: ServedModels, price_per_s: float) -> None:
        """price_per_s: of audio, when the job ends."""
        self._models = models
        self._price_per_s = price_per_s

    def parse(self, spec: JobSpec) -> ParsedJob:
        # The server may have restarted with other models.
        model = self._models.choose(spec.model, version=spec.version)
        parameters = parse_parameters(spec.fields)

        def render(transcription: Transcription) -> dict[str, Any]:
            return {
                "inference_status": render_counts(transcription, price_per_s=self._price_per_s),
                "results": render_results(transcription, shows_words=parameters.shows_words),
            }

        return ParsedJob(options=replace(parameters.options, model=model), render=render)

    def render_failure(self, message: str) -> dict[str, Any]:
        return {"error": message}
