"""Transcriptions to OpenAI's bodies."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from hf_asr_endpoint.api.segments import segment_fields
from hf_asr_endpoint.languages import LANGUAGE_NAMES
from hf_asr_endpoint.types import Segment, TokenLogprob, Transcription, Word


def render_json(transcription: Transcription, *, shows_logprobs: bool) -> dict[str, Any]:
    """Return `{"text", "logprobs"?, "usage"}`; for a translation `{"text"}`, which is OpenAI's all."""
    body: dict[str, Any] = {"text": transcription.text}
    if transcription.task == "transcribe":
        if shows_logprobs:
            body["logprobs"] = render_logprobs(transcription.segments)
        body["usage"] = _usage(transcription)
    return body


def render_verbose_json(
    transcription: Transcription, *, shows_segments: bool, shows_words: bool
) -> dict[str, Any]:
    """Return text, language, duration in seconds, and the segments and words that are wanted.

    The language is its English name: of what was spoken, or of a translation, which is always "english".
    """
    is_translation = transcription.task == "translate"
    body: dict[str, Any] = {
        "task": transcription.task,
        "language": "english" if is_translation else LANGUAGE_NAMES[transcription.language],
        "duration": transcription.duration_s,
        "text": transcription.text,
    }
    if shows_segments:
        body["segments"] = [
            segment_fields(segment, index=index) for index, segment in enumerate(transcription.segments)
        ]
    if shows_words:
        body["words"] = [word for segment in transcription.segments for word in render_words(segment.words)]
    if not is_translation:
        body["usage"] = _usage(transcription)
    return body


def render_words(words: Iterable[Word]) -> list[dict[str, Any]]:
    """Return `{"word", "start", "end"}` of each, without the space before it."""
    return [{"word": word.word.strip(), "start": word.start, "end": word.end} for word in words]


def render_logprobs(segments: Iterable[Segment]) -> list[dict[str, Any]]:
    """Return `{"token", "bytes", "logprob"}` of each text token."""
    return [_logprob(token) for segment in segments for token in segment.token_logprobs]


def _logprob(token: TokenLogprob) -> dict[str, Any]:
    # A token may end inside a character; its bytes tell.
    text = token.token.decode(errors="replace")
    return {"token": text, "bytes": list(token.token), "logprob": token.logprob}


def _usage(transcription: Transcription) -> dict[str, Any]:
    """Seconds begun, as OpenAI bills them."""
    return {"type": "duration", "seconds": math.ceil(transcription.duration_s)}
