"""Transcriptions to the bodies of whisper-asr-webservice, whose json is that of openai/whisper's `transcribe`."""

from __future__ import annotations

import json
from typing import Any

from hf_asr_endpoint.api.asr_webservice.parameters import ParsedParameters
from hf_asr_endpoint.api.segments import known, segment_fields
from hf_asr_endpoint.languages import LANGUAGE_NAMES
from hf_asr_endpoint.subtitles.files import render_subtitles
from hf_asr_endpoint.subtitles.limits import CueLimits
from hf_asr_endpoint.types import Segment, Transcription


def render_output(transcription: Transcription, parameters: ParsedParameters, cue_limits: CueLimits) -> str:
    """Return the text in the requested format, which is JSON for json."""
    match parameters.output:
        case "txt":
            return "".join(f"{segment.text.strip()}\n" for segment in transcription.segments)
        case "json":
            return json.dumps(_document(transcription, shows_words=parameters.shows_words), ensure_ascii=False)
        case _:
            return render_subtitles(transcription, parameters.output, cue_limits, parameters.shape)


def render_language(transcription: Transcription) -> dict[str, Any]:
    """Return the language, and its probability from 0 to 1, which is 0 where there is no speech."""
    assert transcription.language is not None, "a model that cannot detect languages refuses to"
    return {
        "detected_language": LANGUAGE_NAMES[transcription.language],
        "language_code": transcription.language,
        "confidence": transcription.language_probability or 0.0,
    }


def _document(transcription: Transcription, *, shows_words: bool) -> dict[str, Any]:
    return {
        "text": "".join(segment.text for segment in transcription.segments),
        "segments": [
            _segment(segment, index=index, shows_words=shows_words)
            for index, segment in enumerate(transcription.segments)
        ],
        **known({"language": transcription.language}),
    }


def _segment(segment: Segment, *, index: int, shows_words: bool) -> dict[str, Any]:
    fields = segment_fields(segment, index=index)
    if shows_words:
        fields["words"] = [
            known({"word": word.word, "start": word.start, "end": word.end, "probability": word.probability})
            for word in segment.words
        ]
    return fields
