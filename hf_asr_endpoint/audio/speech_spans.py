"""Speech probabilities to spans of speech, by silero-vad's hysteresis, step by step.

Declares what a detector of speech is. Counts in samples and holds none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE

N_STEP_SAMPLES = 512  # samples that one probability stands for: 32 ms

MAX_UNDECIDED = SAMPLE_RATE
"""Samples after which speech ends whose probability stays between the thresholds. silero-vad waits without end."""

Probabilities = npt.NDArray[np.float32]
"""One speech probability for each step, shape = (n_steps,)."""


class SpeechStream(Protocol):
    """Detects the speech of one recording: `push` blocks of any length, then `finish` once."""

    def push(self, block: Waveform) -> Probabilities:
        """Take samples and return the probabilities of the steps that they complete, which may be none."""
        ...

    def finish(self) -> Probabilities:
        """Return the probability of the last step, padded with zeros, if it is incomplete."""
        ...


class SpeechDetector(Protocol):
    """Detects speech in recordings. Threads may share it."""

    def stream(self) -> SpeechStream:
        """Begin a recording."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Samples `start` to `end` (exclusive) from the beginning of the file."""

    start: int
    end: int


class SpanFinder:
    """Finds the spans of speech of one recording: `push` its probabilities, then `finish` once.

    Speech begins with a probability of `threshold` and ends where it falls below `neg_threshold` for
    `min_silence` samples. A span shorter than `min_speech` samples must reach `short_threshold`, or it is dropped.
    """

    def __init__(
        self,
        *,
        threshold: float,
        neg_threshold: float,
        short_threshold: float,
        min_speech: int,
        min_silence: int,
        max_click: int = 0,
    ) -> None:
        self._threshold = threshold
        self._neg_threshold = neg_threshold
        self._short_threshold = short_threshold
        self._min_speech = min_speech
        self._min_silence = min_silence
        self._max_click = max_click
        self._n_samples = 0  # of all steps so far
        self._start: int | None = None  # of the open span
        self._silence_start: int | None = None  # of the silence that may end the open span
        self._peak = 0.0  # highest probability of the open span

    @property
    def open_span(self) -> Span | None:
        """The span that has not ended, as far as it is certain; None if there is none or it may be dropped."""
        if self._start is None:
            return None
        end = self._n_samples if self._silence_start is None else self._silence_start
        return self._keep(Span(start=self._start, end=end))

    @property
    def is_open(self) -> bool:
        """Whether a span has begun, certain or not."""
        return self._start is not None

    @property
    def next_start(self) -> int:
        """The earliest sample at which the next span can start."""
        return self._n_samples if self._start is None else self._start

    def push(self, probabilities: Probabilities) -> Iterator[Span]:
        """Take further steps and yield the spans that end in them."""
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
        length = span.end - span.start
        is_word = length > self._max_click and self._peak >= self._short_threshold
        return span if length >= self._min_speech or is_word else None
