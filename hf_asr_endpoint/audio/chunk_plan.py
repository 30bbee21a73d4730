"""Spans of speech to the places where a recording is cut. Counts in samples; holds none."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hf_asr_endpoint.audio.speech_detector import N_STEP_SAMPLES, Probabilities
from hf_asr_endpoint.audio.speech_spans import Span


class RecentProbabilities:
    """The probabilities of the steps that a cut may still fall into."""

    def __init__(self) -> None:
        self._probabilities = np.zeros(0, np.float32)
        self._first_step = 0

    def push(self, probabilities: Probabilities) -> None:
        self._probabilities = np.concatenate([self._probabilities, probabilities])

    def drop_before(self, sample: int) -> None:
        n_steps = max(0, sample // N_STEP_SAMPLES - self._first_step)
        self._probabilities = self._probabilities[n_steps:]
        self._first_step += n_steps

    def quietest(self, span: Span) -> int:
        """Return the middle of the step in `span` where speech is least likely, the last one of equals."""
        first = -(-span.start // N_STEP_SAMPLES) - self._first_step
        end = span.end // N_STEP_SAMPLES - self._first_step
        index = end - 1 - int(np.argmin(self._probabilities[first:end][::-1]))
        return (self._first_step + index) * N_STEP_SAMPLES + N_STEP_SAMPLES // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedChunk:
    """Where a chunk begins and ends, and the speech in it."""

    extent: Span
    speech: tuple[Span, ...]


class ChunkPlanner:
    """Gathers spans into chunks from left to right, in samples.

    A chunk takes the next span if that follows within `max_gap` and ends within `max_chunk` of the
    chunk's start; otherwise it is cut at the longest silence of its second half. Around its speech it
    keeps `speech_pad`, or half of a shorter silence.
    """

    def __init__(
        self, probabilities: RecentProbabilities, *, max_chunk: int, max_gap: int, speech_pad: int
    ) -> None:
        self._probabilities = probabilities
        self._max_chunk = max_chunk
        self._max_gap = max_gap
        self._speech_pad = speech_pad
        self._planned_until = 0  # end of the last planned chunk
        self._start = 0  # of the chunk being gathered, once it has speech
        self._speech: list[Span] = []

    def take(self, span: Span) -> Iterator[PlannedChunk]:
        """Take the next span, whole; yield the chunks that are certain with it."""
        rest = yield from self._make_room(span)
        self._speech.append(rest)

    def foresee(self, open_span: Span | None, *, speech_from: int) -> Iterator[PlannedChunk]:
        """Yield the chunks that are certain before the next span has ended.

        open_span: as much as is known of it, if it has begun; speech_from: it starts no earlier.
        """
        if open_span is not None:
            yield from self._make_room(open_span)
        elif self._speech and self._is_complete(speech_from):
            yield self._close(n_free=self._speech_pad)

    def finish(self, n_samples: int) -> Iterator[PlannedChunk]:
        """Yield the last chunk of a recording of so many samples, if there is one."""
        if self._speech:
            yield self._close(n_free=n_samples - self._speech[-1].end)

    def needed_from(self, *, speech_from: int) -> int:
        """Return the first sample that any further chunk may hold."""
        return self._start if self._speech else self._start_for(speech_from)

    def _start_for(self, speech_start: int) -> int:
        return max(self._planned_until, speech_start - self._speech_pad)

    def _make_room(self, span: Span) -> Generator[PlannedChunk, None, Span]:
        """Close the chunk if `span` does not fit, cut `span` while that fits into none; return what is left."""
        span = Span(start=max(span.start, self._planned_until), end=span.end)
        while self._speech and not self._fits(span):
            yield self._split(span)
        if not self._speech:
            self._start = self._start_for(span.start)
        while span.end - self._start > self._max_chunk:
            end = self._start + self._max_chunk
            cut = self._probabilities.quietest(Span(start=end - self._max_chunk // 3, end=end))
            self._speech.append(Span(start=span.start, end=cut))
            yield self._close(n_free=0)
            span = Span(start=cut, end=span.end)
            self._start = cut
        return span

    def _fits(self, span: Span) -> bool:
        return span.start - self._speech[-1].end <= self._max_gap and span.end - self._start <= self._max_chunk

    def _split(self, span: Span) -> PlannedChunk:
        """Close the chunk before `span` or earlier: at the longest silence in the second half of what fits.

        A long silence is where sentences end; a sentence that is cut costs words on both sides.
        """
        last = (span.start - self._speech[-1].end, len(self._speech))
        silence, cut = last if last[0] > self._max_gap else max([*self._cuts(self._speech), last])
        self._speech, kept = self._speech[:cut], self._speech[cut:]
        chunk = self._close(n_free=silence // 2)
        if kept:
            self._start, self._speech = self._start_for(kept[0].start), kept
        return chunk

    def _cuts(self, spans: Sequence[Span]) -> list[tuple[int, int]]:
        """Return each silence in the second half of what fits: how long it is, and how many spans lie before."""
        earliest = self._start + self._max_chunk // 2
        return [
            (after.start - before.end, index)
            for index, (before, after) in enumerate(pairwise(spans), start=1)
            if after.start >= earliest
        ]

    def _is_complete(self, speech_from: int) -> bool:
        """Say whether no span that starts at `speech_from` or later can fit, or change where the chunk ends."""
        n_silent = speech_from - self._speech[-1].end
        if n_silent < 2 * self._speech_pad:
            return False
        longest = max((silence for silence, _ in self._cuts(self._speech)), default=0)
        return n_silent > self._max_gap or (speech_from - self._start >= self._max_chunk and n_silent >= longest)

    def _close(self, *, n_free: int) -> PlannedChunk:
        """End the chunk. n_free: samples of silence after it that it may have."""
        padded_end = self._speech[-1].end + min(self._speech_pad, n_free)
        end = min(padded_end, self._start + self._max_chunk)
        chunk = PlannedChunk(extent=Span(start=self._start, end=end), speech=tuple(self._speech))
        self._speech = []
        self._planned_until = end
        return chunk
