"""Where speech is in a session's audio so far, in samples. Knows no turns."""

from __future__ import annotations

from collections import deque

import numpy as np

from hf_asr_endpoint.audio.chunking import SpeechSpan
from hf_asr_endpoint.audio.speech_spans import N_STEP_SAMPLES, Span, SpanFinder, SpeechStream
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE

MIN_SPEECH_S, SHORT_THRESHOLD, MAX_CLICK_S = 0.25, 0.8, 0.1  # as for recordings
MIN_SILENCE_S = 0.1  # A shorter one does not end a span.

SILENT_PEAK = 10 ** (-70 / 20)
"""Full scale is 1. Blocks that are nowhere louder are silence, and the network is not asked: it would take most of
a core for a hundred microphones that are muted."""


class SpeechTracker:
    """Finds spans of speech, block by block."""

    def __init__(self, stream: SpeechStream, *, threshold: float) -> None:
        self._stream = stream
        self._n_samples = 0
        self._n_skipped = 0  # samples of silence that are no whole step
        self._finder = _finder(threshold)
        self._threshold = threshold
        self._offset = 0  # of the finder's first sample
        self._spans: deque[Span] = deque()
        self._last_end = 0

    def set_threshold(self, threshold: float) -> None:
        """Search with another threshold from here on."""
        if threshold != self._threshold:
            self._offset = self._n_samples
            self._finder, self._threshold = _finder(threshold), threshold

    @property
    def open_span(self) -> Span | None:
        """The span that may go on, up to its last speech."""
        span = self._finder.open_span
        return None if span is None else self._shifted(span)

    @property
    def hears_something(self) -> bool:
        """Whether a span has begun, though it may turn out to be too short for speech."""
        return self._finder.is_open

    @property
    def last_speech_end(self) -> int:
        """Where speech was last heard; 0 before any."""
        span = self.open_span
        return self._last_end if span is None else span.end

    def push(self, block: Waveform) -> None:
        """Take a block."""
        if np.abs(block).max(initial=0.0) < SILENT_PEAK and self.open_span is None:
            n_steps, self._n_skipped = divmod(self._n_skipped + len(block), N_STEP_SAMPLES)
            probabilities = np.zeros(n_steps, np.float32)
        else:
            probabilities = self._stream.push(block)
        for span in self._finder.push(probabilities):
            shifted = self._shifted(span)
            self._spans.append(shifted)
            self._last_end = shifted.end
        self._n_samples += len(block)

    def spans(self, start: int, end: int) -> list[Span]:
        """Return the speech between two samples."""
        found = [*self._spans, *([self.open_span] if self.open_span else [])]
        cut = (Span(start=max(span.start, start), end=min(span.end, end)) for span in found)
        return [span for span in cut if span.start < span.end]

    def drop_before(self, sample: int) -> None:
        while self._spans and self._spans[0].end <= sample:
            self._spans.popleft()

    def _shifted(self, span: Span) -> Span:
        return Span(start=span.start + self._offset, end=span.end + self._offset)


def to_seconds(spans: list[Span], *, origin: int) -> tuple[SpeechSpan, ...]:
    """Return spans in seconds from a sample on."""
    return tuple(
        SpeechSpan(start_s=(span.start - origin) / SAMPLE_RATE, end_s=(span.end - origin) / SAMPLE_RATE)
        for span in spans
    )


def _finder(threshold: float) -> SpanFinder:
    return SpanFinder(
        threshold=threshold,
        neg_threshold=max(threshold - 0.15, 0.01),
        short_threshold=max(SHORT_THRESHOLD, threshold),
        min_speech=round(MIN_SPEECH_S * SAMPLE_RATE),
        max_click=round(MAX_CLICK_S * SAMPLE_RATE),
        min_silence=round(MIN_SILENCE_S * SAMPLE_RATE),
    )
