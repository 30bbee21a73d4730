"""Transcriptions to the bodies of whisper.cpp's server."""

from __future__ import annotations

from typing import Any

from hf_asr_endpoint.api.responses import Body
from hf_asr_endpoint.api.segments import known
from hf_asr_endpoint.api.whispercpp.parameters import ParsedParameters
from hf_asr_endpoint.languages import LANGUAGE_NAMES
from hf_asr_endpoint.subtitles.files import render_subtitles
from hf_asr_endpoint.subtitles.limits import CueLimits
from hf_asr_endpoint.types import Segment, Transcription


def render_body(transcription: Transcription, parameters: ParsedParameters, cue_limits: CueLimits) -> Body:
    """Return a JSON object, or text for text and subtitles."""
    match parameters.response_format:
        case "json":
            return {"text": _text(transcription)}
        case "text":
            return _text(transcription)
        case "verbose_json":
            return _verbose(transcription, parameters)
        case _:
            return render_subtitles(transcription, parameters.response_format, cue_limits, parameters.shape)


def _text(transcription: Transcription) -> str:
    """Return a line for each segment, with the space before it."""
    return "".join(f"{segment.text}\n" for segment in transcription.segments)


def _verbose(transcription: Transcription, parameters: ParsedParameters) -> dict[str, Any]:
    """Return all that is known. Words are words, where whisper.cpp has tokens."""
    language = transcription.language
    name = None if language is None else LANGUAGE_NAMES[language]
    body = {
        "task": transcription.task,
        **known({"language": name}),
        "duration": transcription.duration_s,
        "text": _text(transcription),
        "segments": [
            _segment(segment, parameters, index=index) for index, segment in enumerate(transcription.segments)
        ],
    }
    probability = transcription.language_probability
    if parameters.shows_probabilities and probability is not None:
        body["detected_language"] = name
        body["detected_language_probability"] = probability
        body["language_probabilities"] = {language: probability}
    return body


def _segment(segment: Segment, parameters: ParsedParameters, *, index: int) -> dict[str, Any]:
    times = {"start": segment.start, "end": segment.end} if parameters.shows_times else {}
    return {
        "id": index,
        "text": segment.text,
        **times,
        "words": [
            {
                "word": word.word,
                **({"start": word.start, "end": word.end} if parameters.shows_word_times else {}),
                **known({"probability": word.probability}),
            }
            for word in segment.words
        ],
        "tokens": list(segment.tokens),
        **known(
            {
                "temperature": segment.window.temperature,
                "avg_logprob": segment.window.avg_logprob,
                "no_speech_prob": segment.window.no_speech_prob,
            }
        ),
    }
