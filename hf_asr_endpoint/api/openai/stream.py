"""A transcription to OpenAI's stream events, segment by segment.

Each segment gives a `transcript.text.delta`, followed by a `transcript.text.segment` if the response format shows
segments. The last event is `transcript.text.done`, or `{"error": …}` after a failure. It has `segments`, an
extension for Subtitle Edit, where all text is one subtitle without them (ProcessSseEvent in OpenAiSttService.cs).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hf_asr_endpoint.api.events import Deltas
from hf_asr_endpoint.api.openai.parameters import ParsedParameters
from hf_asr_endpoint.api.openai.progress import progress_event
from hf_asr_endpoint.api.openai.render import language_name, render_language, render_logprobs, render_words
from hf_asr_endpoint.api.segments import n_input_tokens, n_output_tokens
from hf_asr_endpoint.types import Progress, Segment, Transcription


class EventWriter:
    """Makes the events of one transcription. The deltas, joined, equal the text of the last event."""

    def __init__(self, parameters: ParsedParameters, *, shows_progress: bool = False) -> None:
        self._parameters = parameters
        self._shows_progress = shows_progress
        self._n_segments = 0
        self._deltas = Deltas()

    def segment(self, segment: Segment) -> Iterator[dict[str, Any]]:
        """Yield a segment's events."""
        yield self._delta(segment)
        if self._parameters.response_format == "verbose_json":
            yield self._segment(segment)
        self._n_segments += 1

    def progress(self, progress: Progress) -> Iterator[dict[str, Any]]:
        """Yield the event of how far the recording is, if the client knows it."""
        if self._shows_progress:
            yield progress_event(progress)

    def done(self, transcription: Transcription) -> dict[str, Any]:
        """Return the last event."""
        return {
            "type": "transcript.text.done",
            "text": transcription.text,
            **self._verbose(transcription),
            **self._logprobs(*transcription.segments),
            **self._segments(transcription),
            "usage": token_usage(transcription),
        }

    def _verbose(self, transcription: Transcription) -> dict[str, Any]:
        """Return what a response in verbose_json has beside the text: language and duration. An extension."""
        if self._parameters.response_format != "verbose_json":
            return {}
        return {**render_language(transcription), "duration": transcription.duration_s}

    def _segments(self, transcription: Transcription) -> dict[str, Any]:
        """Return the times of all segments, unless the client asks for text. id: a number, as in verbose_json."""
        if self._parameters.response_format == "text":
            return {}
        return {
            "segments": [
                {"id": index, "start": segment.start, "end": segment.end, "text": segment.text}
                for index, segment in enumerate(transcription.segments)
            ]
        }

    def _delta(self, segment: Segment) -> dict[str, Any]:
        delta = self._deltas.next(segment)
        return {"type": "transcript.text.delta", "delta": delta, **self._logprobs(segment)}

    def _segment(self, segment: Segment) -> dict[str, Any]:
        """The schema requires a speaker, which is unknown here.

        Extensions: the language, where it is known, since no other event has it, and `words` on request.
        """
        translates = self._parameters.options.task == "translate"
        language = {} if translates or not segment.language else {"language": language_name(segment.language)}
        words = {"words": render_words(segment.words)} if self._parameters.shows_words else {}
        return {
            "type": "transcript.text.segment",
            "id": f"seg_{self._n_segments}",
            "start": segment.start,
            "end": segment.end,
            "text": segment.text,
            "speaker": "",
            **language,
            **words,
        }

    def _logprobs(self, *segments: Segment) -> dict[str, Any]:
        return {"logprobs": render_logprobs(segments)} if self._parameters.shows_logprobs else {}


def token_usage(transcription: Transcription) -> dict[str, Any]:
    """Return the `usage` of the last event, counted in tokens."""
    n_input, n_output = n_input_tokens(transcription), n_output_tokens(transcription)
    return {
        "type": "tokens",
        "input_tokens": n_input,
        "input_token_details": {"text_tokens": 0, "audio_tokens": n_input},
        "output_tokens": n_output,
        "total_tokens": n_input + n_output,
    }
