"""A transcription to the body in the requested format, for responses and for jobs."""

from __future__ import annotations

from typing import Any

from hf_asr_endpoint.api.openai.parameters import ParsedParameters
from hf_asr_endpoint.api.openai.render import render_json, render_verbose_json
from hf_asr_endpoint.subtitles.files import render_subtitles
from hf_asr_endpoint.subtitles.limits import CueLimits
from hf_asr_endpoint.types import Transcription


def render_body(
    transcription: Transcription, parameters: ParsedParameters, cue_limits: CueLimits
) -> dict[str, Any] | str:
    """Return a JSON object, or text for text and subtitles."""
    match parameters.response_format:
        case "json":
            return render_json(
                transcription, shows_logprobs=parameters.shows_logprobs, shows_words=parameters.shows_words
            )
        case "text":
            return transcription.text + "\n"
        case "verbose_json":
            return render_verbose_json(
                transcription,
                shows_segments=parameters.shows_segments,
                shows_words=parameters.shows_words,
                shows_logprobs=parameters.shows_logprobs,
            )
        case _:
            return render_subtitles(transcription, parameters.response_format, cue_limits, parameters.shape)
