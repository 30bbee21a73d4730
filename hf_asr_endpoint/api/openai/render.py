"""Transcriptions to OpenAI's bodies."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from hf_asr_endpoint.api.segments import is_in_other_language, known, segment_fields
from hf_asr_endpoint.languages import LANGUAGE_NAMES
from hf_asr_endpoint.types import Segment, TokenLogprob, Transcription, Word


def render_json(
    transcription: Transcription, *, shows_logprobs: bool, shows_words: bool = False
) -> dict[str, Any]:
    """Return `{"text", "words"?, "logprobs"?, "usage"}`. A translation has no usage, as OpenAI's has none."""
    body: dict[str, Any] = {"text": transcription.text}
    if shows_words:
        body["words"] = _all_words(transcription)
    if shows_logprobs:
        body["logprobs"] = render_logprobs(transcription.segments)
    if transcription.task == "transcribe":
        body["usage"] = _usage(transcription)
    return body


def render_verbose_json(
    transcription: Transcription, *, shows_segments: bool, shows_words: bool, shows_logprobs: bool = False
) -> dict[str, Any]:
    """Return text, language, duration in seconds, and on request segments, words and log-probabilities.

    The language is the English name of the spoken one; for a translation it is "english". A detected one has a
    `language_probability`, and a segment in another language its own `language`; both are extensions.
    """
    is_translation = transcription.task == "translate"
    body: dict[str, Any] = {
        "task": transcription.task,
        **render_language(transcription),
        "duration": transcription.duration_s,
        "text": transcription.text,
    }
    if shows_segments:
        body["segments"] = [
            {**segment_fields(segment, index=index), **_other_language(segment, transcription)}
            for index, segment in enumerate(transcription.segments)
        ]
    if shows_words:
        body["words"] = _all_words(transcription)
    if shows_logprobs:
        body["logprobs"] = render_logprobs(transcription.segments)
    if not is_translation:
        body["usage"] = _usage(transcription)
    return body


def render_language(transcription: Transcription) -> dict[str, Any]:
    """Return `{"language"}` if it is known, and `language_probability` where it was detected."""
    if transcription.task == "translate":
        return {"language": "english"}
    language = None if transcription.language is None else language_name(transcription.language)
    return known({"language": language, "language_probability": transcription.language_probability})


def language_name(code: str) -> str:
    """Return the English name of a language, in lower case, as OpenAI's answers have it."""
    return LANGUAGE_NAMES[code]


def render_words(words: Iterable[Word]) -> list[dict[str, Any]]:
    """Return `{"word", "start", "end", "probability"}` for each word, without its leading space.

    `probability`, 0 to 1, is an extension with faster-whisper's name; absent where the model does not tell it.
    """
    return [
        known({"word": word.word.strip(), "start": word.start, "end": word.end, "probability": word.probability})
        for word in words
    ]


def render_logprobs(segments: Iterable[Segment]) -> list[dict[str, Any]]:
    """Return `{"token", "bytes", "logprob"}` for each text token."""
    return [_logprob(token) for segment in segments for token in segment.token_logprobs]


def _all_words(transcription: Transcription) -> list[dict[str, Any]]:
    return [word for segment in transcription.segments for word in render_words(segment.words)]


def _other_language(segment: Segment, transcription: Transcription) -> dict[str, str]:
    """Return the language of a segment that is not in the recording's. A translation is English throughout."""
    if transcription.task == "translate" or not is_in_other_language(segment, transcription):
        return {}
    assert segment.language is not None
    return {"language": language_name(segment.language)}


def _logprob(token: TokenLogprob) -> dict[str, Any]:
    # A token may end inside a character; the bytes are exact.
    text = token.token.decode(errors="replace")
    return {"token": text, "bytes": list(token.token), "logprob": token.logprob}


def _usage(transcription: Transcription) -> dict[str, Any]:
    """Return the usage in whole seconds, rounded up, as OpenAI bills it."""
    return {"type": "duration", "seconds": math.ceil(transcription.duration_s)}
