"""Transcriptions to Mistral's bodies and stream events."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from hf_asr_endpoint.api.events import Deltas
from hf_asr_endpoint.api.mistral.parameters import ParsedParameters
from hf_asr_endpoint.api.segments import known, n_input_tokens, n_output_tokens
from hf_asr_endpoint.types import Progress, Segment, Transcription


def render_body(transcription: Transcription, parameters: ParsedParameters) -> dict[str, Any]:
    """Return model, text, language as a code, segments (on request: segments or words), and usage."""
    return {
        "model": parameters.model,
        "text": transcription.text,
        **known({"language": transcription.language}),
        "segments": [
            {"type": "transcription_segment", **chunk}
            for segment in transcription.segments
            for chunk in _chunks(segment, parameters)
        ],
        "usage": _usage(transcription),
    }


class EventWriter:
    """Makes the events of one transcription, for `events.write_events`."""

    def __init__(self, parameters: ParsedParameters) -> None:
        self._parameters = parameters
        self._deltas = Deltas()
        self._shows_language = True  # once, as soon as it is known

    def segment(self, segment: Segment) -> Iterator[dict[str, Any]]:
        """Yield a segment's events."""
        if self._shows_language and segment.language is not None:
            self._shows_language = False
            yield {"type": "transcription.language", "audio_language": segment.language}
        yield {"type": "transcription.text.delta", "text": self._deltas.next(segment)}
        for chunk in _chunks(segment, self._parameters):
            yield {"type": "transcription.segment", **chunk}

    def progress(self, progress: Progress) -> Iterable[dict[str, Any]]:
        """Return nothing: there is no such event."""
        return ()

    def done(self, transcription: Transcription) -> dict[str, Any]:
        """Return the last event."""
        return {"type": "transcription.done", **render_body(transcription, self._parameters)}


def _chunks(segment: Segment, parameters: ParsedParameters) -> Iterator[dict[str, Any]]:
    if parameters.granularity == "segment":
        yield {"text": segment.text, "start": segment.start, "end": segment.end}
    elif parameters.granularity == "word":
        for word in segment.words:
            yield {"text": word.word, "start": word.start, "end": word.end}


def _usage(transcription: Transcription) -> dict[str, Any]:
    """Return the usage. prompt_audio_seconds: whole, rounded up."""
    n_input, n_output = n_input_tokens(transcription), n_output_tokens(transcription)
    return {
        "prompt_audio_seconds": math.ceil(transcription.duration_s),
        "prompt_tokens": n_input,
        "completion_tokens": n_output,
        "total_tokens": n_input + n_output,
    }
