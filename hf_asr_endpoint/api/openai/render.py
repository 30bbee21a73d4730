"""Transcriptions to OpenAI's bodies."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from hf_asr_endpoint.api.segments import segment_fields
from hf_asr_endpoint.languages import LANGUAGE_NAMES
from hf_asr_endpoint.types import Segment, TokenLogprob, Transcription, Word


def render_json(transcription: Transcription, *, shows_logprobs: bool) -> dict[str, Any]:
    """Return `{"text", "logprobs"?, "usage"}`, for a translation only `{"text"}`, as OpenAI does."""
    body: dict[str, Any] = {"text": transcription.text}
    if transcription.task == "transcribe":
        if shows_logprobs:
            body["logprobs"] = render_logprobs(transcription.segments)
        body["usage"] = _usage(transcription)
    return body


def render_verbose_json(
    transcription: Transcription, *, shows_segments: bool, shows_words: bool
) -> dict[str, Any]:
    """Return text, language, duration in seconds, and on request segments and words.

    The language is the English name of the spoken one; for a translation it is "english".
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
    """Return `{"word", "start", "end"}` for each word, without its leading space."""
    return [{"word": word.word.strip(), "start": word.start, "end": word.end} for word in words]


def render_logprobs(segments: Iterable[Segment]) -> list[dict[str, Any]]:
    """Return `{"token", "bytes", "logprob"}` for each text token."""
    return [_logprob(token) for segment in segments for token in segment.token_logprobs]


def _logprob(token: TokenLogprob) -> dict[str, Any]:
    # A token may end inside a character; the bytes are exact.
    text = token.token.decode(errors="replace")
    return {"token": text, "bytes": list(token.token), "logprob": token.logprob}


def _usage(transcription: Transcription) -> dict[str, Any]:
    """Return the usage in whole seconds, rounded up, as OpenAI bills it."""
    return {"type": "duration", "seconds": math.ceil(transcription.duration_s)}
