"""Speech probabilities to spans of speech, by silero-vad's hysteresis, step by step. Counts in samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hf_asr_endpoint.audio.speech_detector import N_STEP_SAMPLES, Probabilities
from hf_asr_endpoint.units import SAMPLE_RATE

MAX_UNDECIDED = SAMPLE_RATE
"""Samples after which a silence that neither deepens nor ends counts. silero-vad waits for as long as it lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Samples `start` to `end` (exclusive) from the beginning of the file."""

    start: int
    end: int


class SpanFinder:
    """Finds the spans of one recording: `push` its probabilities, then `finish` once.

    Speech begins with a probability of `threshold` and ends where it falls below `neg_threshold` for
    `min_silence` samples. Shorter than `min_speech` samples, it must reach `short_threshold`.
    """

    def __init__(
        self,
        *,
        threshold: float,
        neg_threshold: float,
        short_threshold: float,
        min_speech: int,
        min_silence: int,
    ) -> None:
        self._threshold = threshold
        self._neg_threshold = neg_threshold
        self._short_threshold = short_threshold
        self._min_speech = min_speech
        self._min_silence = min_silence
        self._n_samples = 0  # of the steps taken
        self._start: int | None = None  # of the speech that goes on
        self._silence_start: int | None = None  # of the silence that may end it
        self._peak = 0.0  # its highest probability

    @property
    def open_span(self) -> Span | None:
        """Speech that has not ended, up to where it is certain; None while it might still be dropped."""
        if self._start is None:
            return None
        end = self._n_samples if self._silence_start is None else self._silence_start
        return self._keep(Span(start=self._start, end=end))

    @property
    def speech_from(self) -> int:
        """The sample before which no further span can start."""
        return self._n_samples if self._start is None else self._start

    def push(self, probabilities: Probabilities) -> Iterator[Span]:
        """Take further steps, yield the spans that ended in them."""
        for probability in probabilities.tolist():
            span = self._take(probability)
            self._n_samples += N_STEP_SAMPLES
            if span is not None:
                yield span

    def finish(self, n_samples: int) -> Iterator[Span]:
        """Yield the span that lasts to the end of the recording, if there is one."""
        if self._start is not None and (span := self._end(n_samples)):
            yield span

    def _take(self, probability: float) -> Span | None:
        if probability >= self._threshold:
            self._start = self._n_samples if self._start is None else self._start
            self._peak = max(self._peak, probability)
            self._silence_start = None
            return None
        is_silent = probability < self._neg_threshold
        if self._start is None or (self._silence_start is None and not is_silent):
            return None
        if self._silence_start is None:
            self._silence_start = self._n_samples
        n_silent = self._n_samples - self._silence_start
        if (is_silent and n_silent >= self._min_silence) or n_silent > MAX_UNDECIDED:
            return self._end(self._silence_start)
        return None

    def _end(self, end: int) -> Span | None:
        assert self._start is not None
        span = self._keep(Span(start=self._start, end=end))
        self._start, self._silence_start, self._peak = None, None, 0.0
        return span

    def _keep(self, span: Span) -> Span | None:
        is_speech = span.end - span.start >= self._min_speech or self._peak >= self._short_threshold
        return span if is_speech else None
