"""A waveform that arrives in blocks to chunks of at most a window's length, cut at silence.

Knows no codecs and no models; the detector of speech is an argument.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from hf_asr_endpoint.audio.chunk_plan import ChunkPlanner, PlannedChunk, RecentProbabilities
from hf_asr_endpoint.audio.speech_spans import Span, SpanFinder, SpeechDetector, SpeechStream
from hf_asr_endpoint.types import VoiceActivityOptions, Waveform
from hf_asr_endpoint.units import SAMPLE_RATE, WINDOW_S

BLOCK_SAMPLES = 4 * SAMPLE_RATE
"""Samples that are searched for speech at once, however small or large the arriving blocks are."""

MIN_CHUNK_S = 1.0

EDGES_PER_CHUNK = 10
"""An edge's silence takes no more than a tenth of a chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkingOptions:
    """Which probabilities (0 to 1) are speech, and how much of it goes into one chunk.

    Raises ValueError unless `chunk_length_s` is from MIN_CHUNK_S to the window's length, and `speech_pad_s` from
    0 to half a chunk.
    """

    voice_activity: VoiceActivityOptions = field(default_factory=VoiceActivityOptions)
    neg_threshold: float | None = None
    """Speech ends below this probability; None means 0.15 below `threshold`, as in silero-vad."""
    short_threshold: float = 0.8
    """Speech shorter than `min_speech_s` counts if its probability reaches this, and it is not a mere click."""
    min_speech_s: float = 0.25
    max_click_s: float = 0.1
    """Nothing as short as this is a word."""
    min_silence_s: float = 0.1
    """A shorter silence does not end a span of speech; silero-vad's default."""
    max_gap_s: float = 3.0
    """A longer silence always ends a chunk, unless `silence_duration_s` says which one does."""
    edge_pad_s: float = 1.0
    """Silence kept at the recording's beginning and end."""
    chunk_length_s: float = WINDOW_S

    def __post_init__(self) -> None:
        if not MIN_CHUNK_S <= self.chunk_length_s <= WINDOW_S:
            raise ValueError(f"chunk_length_s is {self.chunk_length_s:g}; allowed: {MIN_CHUNK_S:g} to {WINDOW_S}")
        if not 0 <= self.voice_activity.speech_pad_s <= self.chunk_length_s / 2:
            raise ValueError(
                f"speech_pad_s is {self.voice_activity.speech_pad_s:g}; allowed: 0 to {self.chunk_length_s / 2:g}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechSpan:
    """A span of speech, in seconds from the beginning of the chunk."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of a recording. offset_s: where it begins, in seconds from the beginning of the file.

    speech: at least one span, in order and without overlap.
    """

    waveform: Waveform
    offset_s: float
    speech: tuple[SpeechSpan, ...]


def split_chunks(
    blocks: Iterable[Waveform],
    detector: SpeechDetector,
    *,
    options: ChunkingOptions = ChunkingOptions(),
) -> Iterator[Chunk | None]:
    """Yield the chunks of a waveform that arrives in blocks, each as soon as nothing later can change it.

    Recordings are cut at silence, and long silence before, between and after chunks is left out: in silence the
    model repeats itself, or writes what nobody said. No more than a minute of the waveform is held.

    Yields None after each block, and after every BLOCK_SAMPLES of a longer one: the consumer can stop there.
    """
    splitter = _Splitter(detector.stream(), options)
    groups = _BlockGroups()
    for block in blocks:
        for group in groups.push(block):
            yield from splitter.push(group)
            yield None
        yield None
    if len(rest := groups.rest()):
        yield from splitter.push(rest)
    yield from splitter.finish()


class _Splitter:
    """Splits one recording: its samples to probabilities, to spans, to planned chunks, to chunks."""

    def __init__(self, stream: SpeechStream, options: ChunkingOptions) -> None:
        voice_activity, neg_threshold = options.voice_activity, options.neg_threshold
        silence_s = voice_activity.silence_duration_s
        max_gap_s = options.max_gap_s if silence_s is None else silence_s
        speech_pad_s = voice_activity.speech_pad_s
        edge_pad_s = max(speech_pad_s, min(options.edge_pad_s, options.chunk_length_s / EDGES_PER_CHUNK))
        self._stream = stream
        self._finder = SpanFinder(
            threshold=voice_activity.threshold,
            neg_threshold=max(voice_activity.threshold - 0.15, 0.01) if neg_threshold is None else neg_threshold,
            short_threshold=options.short_threshold,
            min_speech=_n_samples(options.min_speech_s),
            max_click=_n_samples(options.max_click_s),
            min_silence=_n_samples(min(options.min_silence_s, max_gap_s)),
        )
        self._max_chunk = _n_samples(options.chunk_length_s)
        self._probabilities = RecentProbabilities()
        self._planner = ChunkPlanner(
            self._probabilities,
            max_chunk=self._max_chunk,
            max_gap=_n_samples(max_gap_s),
            speech_pad=_n_samples(voice_activity.speech_pad_s),
            edge_pad=_n_samples(edge_pad_s),
        )
        self._samples = RecentSamples()
        self._planned: list[PlannedChunk] = []

    def push(self, block: Waveform) -> Iterator[Chunk]:
        self._samples.push(block)
        probabilities = self._stream.push(block)
        self._probabilities.push(probabilities)
        for span in self._finder.push(probabilities):
            self._planned.extend(self._planner.add(span))
        next_start = self._finder.next_start
        self._planned.extend(self._planner.advance(self._finder.open_span, next_start=next_start))
        yield from self._cut()
        first_needed = self._planner.first_needed(next_start=next_start)
        self._samples.drop_before(first_needed)
        self._probabilities.drop_before(first_needed)

    def finish(self) -> Iterator[Chunk]:
        probabilities = self._stream.finish()
        self._probabilities.push(probabilities)
        n_samples = self._samples.end
        for span in [*self._finder.push(probabilities), *self._finder.finish(n_samples)]:
            self._planned.extend(self._planner.add(span))
        self._planned.extend(self._planner.finish(n_samples))
        yield from self._cut()

    def _cut(self) -> Iterator[Chunk]:
        for planned in self._planned:
            yield _make_chunk(planned, self._samples.read(planned.extent))
        self._planned.clear()


class RecentSamples:
    """The samples that a chunk, or a turn, may still need."""

    def __init__(self) -> None:
        self._blocks: deque[Waveform] = deque()
        self._start = 0  # of the first block
        self.end = 0

    def push(self, block: Waveform) -> None:
        self._blocks.append(block)
        self.end += len(block)

    def drop_before(self, sample: int) -> None:
        while self._blocks and self._start + len(self._blocks[0]) <= sample:
            self._start += len(self._blocks.popleft())

    def read(self, extent: Span) -> Waveform:
        """Return a copy of the samples, which must not have been dropped."""
        parts = []
        block_start = self._start
        for block in self._blocks:
            parts.append(block[max(0, extent.start - block_start) : max(0, extent.end - block_start)])
            block_start += len(block)
        return np.concatenate(parts)


class _BlockGroups:
    """Copies blocks of any length into groups of BLOCK_SAMPLES."""

    def __init__(self) -> None:
        self._group = np.empty(BLOCK_SAMPLES, np.float32)
        self._n_filled = 0

    def push(self, block: Waveform) -> Iterator[Waveform]:
        """Take a block and yield the groups that it completes."""
        begin = 0
        while begin < len(block):
            part = block[begin : begin + BLOCK_SAMPLES - self._n_filled]
            self._group[self._n_filled : self._n_filled + len(part)] = part
            begin, self._n_filled = begin + len(part), self._n_filled + len(part)
            if self._n_filled == BLOCK_SAMPLES:
                yield self._group
                self._group, self._n_filled = np.empty(BLOCK_SAMPLES, np.float32), 0

    def rest(self) -> Waveform:
        """Return the samples of the last group, which is incomplete and may be empty."""
        return self._group[: self._n_filled]


def _make_chunk(planned: PlannedChunk, waveform: Waveform) -> Chunk:
    offset = planned.extent.start
    return Chunk(
        waveform=waveform,
        offset_s=offset / SAMPLE_RATE,
        speech=tuple(
            SpeechSpan(start_s=(span.start - offset) / SAMPLE_RATE, end_s=(span.end - offset) / SAMPLE_RATE)
            for span in planned.speech
        ),
    )


def _n_samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)
