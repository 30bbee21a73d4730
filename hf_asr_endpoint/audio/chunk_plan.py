"""Plans where a recording is cut, from its spans of speech. Counts in samples and holds none."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hf_asr_endpoint.audio.speech_spans import N_STEP_SAMPLES, Probabilities, Span


class RecentProbabilities:
    """The speech probabilities of the steps that may still be cut."""

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
        """Return the middle of the step of `span` where speech is least likely; of equal ones, the last."""
        first = -(-span.start // N_STEP_SAMPLES) - self._first_step
        end = span.end // N_STEP_SAMPLES - self._first_step
        index = end - 1 - int(np.argmin(self._probabilities[first:end][::-1]))
        return (self._first_step + index) * N_STEP_SAMPLES + N_STEP_SAMPLES // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedChunk:
    """The samples of a chunk, and the speech in it."""

    extent: Span
    speech: tuple[Span, ...]


class ChunkPlanner:
    """Joins spans of speech to chunks, in order. All lengths are in samples.

    A chunk takes the next span if it follows within `max_gap` and ends within `max_chunk` of the chunk's start.
    Otherwise the chunk is cut at the longest silence of its second half. It keeps `speech_pad` of the silence
    around its speech, or half of a silence shorter than two pads. At the recording's beginning and end it keeps
    `edge_pad`: a clip's first and last sounds are often too quiet to be detected as speech. But no more of it than
    there is speech: the model takes a word among much silence for none.
    """

    def __init__(
        self, probabilities: RecentProbabilities, *, max_chunk: int, max_gap: int, speech_pad: int, edge_pad: int
    ) -> None:
        self._probabilities = probabilities
        self._max_chunk = max_chunk
        self._max_gap = max_gap
        self._speech_pad = speech_pad
        self._edge_pad = edge_pad
        self._planned_until = 0  # end of the last planned chunk
        self._start = 0  # of the open chunk, once it has speech
        self._speech: list[Span] = []

    def add(self, span: Span) -> Iterator[PlannedChunk]:
        """Add the next span, which has ended; yield the chunks that are complete with it."""
        rest = yield from self._close_before(span)
        self._speech.append(rest)

    def advance(self, open_span: Span | None, *, next_start: int) -> Iterator[PlannedChunk]:
        """Yield the chunks that are complete whatever the rest of the recording is.

        open_span: the next span as far as it is certain, or None. next_start: the next span starts no earlier.
        """
        if open_span is not None:
            yield from self._close_before(open_span)
        elif self._speech and self._is_complete(next_start):
            yield self._close(n_free=self._speech_pad)

    def finish(self, n_samples: int) -> Iterator[PlannedChunk]:
        """Yield the last chunk, if there is one. n_samples: length of the recording."""
        if self._speech:
            n_free = n_samples - self._speech[-1].end
            yield self._close(n_free=n_free, pad=self._pad_at_edge() if n_free <= self._max_gap else None)

    def first_needed(self, *, next_start: int) -> int:
        """Return the first sample that a later chunk may contain."""
        return self._start if self._speech else self._start_before(next_start)

    def _start_before(self, speech_start: int) -> int:
        pad = self._speech_pad if self._planned_until else self._edge_pad
        return max(self._planned_until, speech_start - pad)

    def _pad_at_edge(self) -> int:
        """Return the silence that the open chunk keeps at the recording's beginning and end."""
        n_speech = sum(span.end - span.start for span in self._speech)
        return min(self._edge_pad, max(self._speech_pad, n_speech))

    def _close_before(self, span: Span) -> Generator[PlannedChunk, None, Span]:
        """Close the open chunk if `span` does not fit; cut pieces off a longer `span`, and return the rest."""
        span = Span(start=max(span.start, self._planned_until), end=span.end)
        while self._speech and not self._fits(span):
            yield self._split(span)
        if not self._speech:
            self._start = self._start_before(span.start)
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
        """Close the open chunk before `span`, or earlier at the longest silence of its second half.

        Sentences end at long silences, and a sentence that is cut loses words on both sides.
        """
        last = (span.start - self._speech[-1].end, len(self._speech))
        silence, cut = last if last[0] > self._max_gap else max([*self._cuts(self._speech), last])
        self._speech, kept = self._speech[:cut], self._speech[cut:]
        chunk = self._close(n_free=silence // 2)
        if kept:
            self._start, self._speech = self._start_before(kept[0].start), kept
        return chunk

    def _cuts(self, spans: Sequence[Span]) -> list[tuple[int, int]]:
        """Return (length, number of spans before it) of each silence in the second half of the chunk."""
        earliest = self._start + self._max_chunk // 2
        return [
            (after.start - before.end, index)
            for index, (before, after) in enumerate(pairwise(spans), start=1)
            if after.start >= earliest
        ]

    def _is_complete(self, next_start: int) -> bool:
        """Return whether a span from `next_start` on can neither fit nor change the end of the chunk."""
        n_silent = next_start - self._speech[-1].end
        if n_silent < 2 * self._speech_pad:
            return False
        longest = max((silence for silence, _ in self._cuts(self._speech)), default=0)
        return n_silent > self._max_gap or (next_start - self._start >= self._max_chunk and n_silent >= longest)

    def _close(self, *, n_free: int, pad: int | None = None) -> PlannedChunk:
        """Close the open chunk. n_free: samples of the silence after it that it may take.

        pad: how much of them it takes; None: `speech_pad`.
        """
        if not self._planned_until:
            self._start = max(self._start, self._speech[0].start - self._pad_at_edge())
        padded_end = self._speech[-1].end + min(self._speech_pad if pad is None else pad, n_free)
        end = min(padded_end, self._start + self._max_chunk)
        chunk = PlannedChunk(extent=Span(start=self._start, end=end), speech=tuple(self._speech))
        self._speech = []
        self._planned_until = end
        return chunk
