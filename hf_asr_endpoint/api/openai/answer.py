"""A transcription to the body in the requested format, for responses and for jobs."""

from __future__ import annotations

from typing import Any

from hf_asr_endpoint.api.openai.parameters import ParsedParameters
from hf_asr_endpoint.api.openai.render import render_json, render_verbose_json
from hf_asr_endpoint.subtitles.cues import CueLimits, make_cues
from hf_asr_endpoint.subtitles.formats import render_srt, render_vtt
from hf_asr_endpoint.types import Transcription


def render_body(
    transcription: Transcription, parameters: ParsedParameters, cue_limits: CueLimits
) -> dict[str, Any] | str:
    """Return a JSON object, or text for the formats text, srt and vtt."""
    match parameters.response_format:
        case "json":
            return render_json(
                transcription, shows_logprobs=parameters.shows_logprobs, shows_words=parameters.shows_words
            )
        case "text":
            return transcription.text + "\n"
        case "srt":
            return render_srt(make_cues(transcription.segments, cue_limits))
        case "vtt":
            return render_vtt(make_cues(transcription.segments, cue_limits))
        case "verbose_json":
            return render_verbose_json(
                transcription,
                shows_segments=parameters.shows_segments,
                shows_words=parameters.shows_words,
                shows_logprobs=parameters.shows_logprobs,
            )
