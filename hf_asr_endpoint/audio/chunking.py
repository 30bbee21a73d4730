"""A waveform of any length to chunks that fit the encoder's window, cut where nobody speaks, as it arrives."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from hf_asr_endpoint.audio.chunk_plan import ChunkPlanner, PlannedChunk, RecentProbabilities
from hf_asr_endpoint.audio.speech_detector import SpeechDetector, SpeechStream
from hf_asr_endpoint.audio.speech_spans import Span, SpanFinder
from hf_asr_endpoint.types import VoiceActivityOptions, Waveform
from hf_asr_endpoint.units import SAMPLE_RATE, WINDOW_S

BLOCK_SAMPLES = 4 * SAMPLE_RATE
"""Samples that are searched for speech at once, however small or large the blocks are that arrive."""

MIN_CHUNK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkingOptions:
    """What counts as speech, by its probability (0 to 1), and how much of it goes into one chunk.

    Raises ValueError for a `chunk_length_s` that is not from MIN_CHUNK_S to the encoder's window, or a
    `speech_pad_s` of more than half of it.
    """

    voice_activity: VoiceActivityOptions = field(default_factory=VoiceActivityOptions)
    neg_threshold: float | None = None
    """Speech ends below this probability; None is 0.15 under `threshold`, as in silero-vad."""
    short_threshold: float = 0.8
    """Speech shorter than `min_speech_s` counts if its probability reaches this."""
    min_speech_s: float = 0.25
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
    """Where somebody speaks: seconds from the beginning of the chunk."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of a recording, with the place it was cut from.

    speech: in order, without overlap; at least one span.
    """

    waveform: Waveform
    offset_s: float
    speech: tuple[SpeechSpan, ...]


def split_chunks(
    waveform: Iterable[Waveform],
    detector: SpeechDetector,
    *,
    options: ChunkingOptions = ChunkingOptions(),
) -> Iterator[Chunk | None]:
    """Yield the chunks of a waveform that arrives in blocks, each as soon as it is certain.

    After each block it yields None, where the caller can stop.

    A recording of at most `chunk_length_s` with any speech in it is one chunk, untrimmed. A longer one is
    cut at silence, and silence between chunks is left out. No more than a minute is held at once.
    """
    splitter = _Splitter(detector.stream(), options)
    for block in _regroup(waveform):
        if block is not None:
            yield from splitter.push(block)
        yield None
    yield from splitter.finish()


class _Splitter:
    """One recording on its way: probabilities to spans to plan to samples."""

    def __init__(self, stream: SpeechStream, options: ChunkingOptions) -> None:
        voice_activity, neg_threshold = options.voice_activity, options.neg_threshold
        self._stream = stream
        self._finder = SpanFinder(
            threshold=voice_activity.threshold,
            neg_threshold=max(voice_activity.threshold - 0.15, 0.01) if neg_threshold is None else neg_threshold,
            short_threshold=options.short_threshold,
            min_speech=_n_samples(options.min_speech_s),
            min_silence=_n_samples(voice_activity.min_silence_s),
        )
        self._max_chunk = _n_samples(options.chunk_length_s)
        self._probabilities = RecentProbabilities()
        self._planner = ChunkPlanner(
            self._probabilities,
            max_chunk=self._max_chunk,
            max_gap=_n_samples(voice_activity.max_gap_s),
            speech_pad=_n_samples(voice_activity.speech_pad_s),
        )
        self._samples = _RecentSamples()
        self._planned: list[PlannedChunk] = []

    def push(self, block: Waveform) -> Iterator[Chunk]:
        self._samples.push(block)
        probabilities = self._stream.push(block)
        self._probabilities.push(probabilities)
        for span in self._finder.push(probabilities):
            self._planned.extend(self._planner.take(span))
        speech_from = self._finder.speech_from
        self._planned.extend(self._planner.foresee(self._finder.open_span, speech_from=speech_from))
        if self._samples.end > self._max_chunk:  # Before, it may be a short recording, which stays whole.
            yield from self._cut()
            needed_from = self._planner.needed_from(speech_from=speech_from)
            self._samples.drop_before(needed_from)
            self._probabilities.drop_before(needed_from)

    def finish(self) -> Iterator[Chunk]:
        probabilities = self._stream.finish()
        self._probabilities.push(probabilities)
        n_samples = self._samples.end
        for span in [*self._finder.push(probabilities), *self._finder.finish(n_samples)]:
            self._planned.extend(self._planner.take(span))
        self._planned.extend(self._planner.finish(n_samples))
        if self._planned and n_samples <= self._max_chunk:
            speech = tuple(span for planned in self._planned for span in planned.speech)
            self._planned = [PlannedChunk(extent=Span(start=0, end=n_samples), speech=speech)]
        yield from self._cut()

    def _cut(self) -> Iterator[Chunk]:
        for planned in self._planned:
            yield _make_chunk(planned, self._samples.read(planned.extent))
        self._planned.clear()


class _RecentSamples:
    """The samples that a chunk may still need."""

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


def _regroup(blocks: Iterable[Waveform]) -> Iterator[Waveform | None]:
    """Yield the same samples in blocks of BLOCK_SAMPLES, the last one shorter, and None after each block taken."""
    group = np.empty(BLOCK_SAMPLES, np.float32)
    n_filled = 0
    for block in blocks:
        begin = 0
        while begin < len(block):
            part = block[begin : begin + BLOCK_SAMPLES - n_filled]
            group[n_filled : n_filled + len(part)] = part
            begin, n_filled = begin + len(part), n_filled + len(part)
            if n_filled == BLOCK_SAMPLES:
                yield group
                group, n_filled = np.empty(BLOCK_SAMPLES, np.float32), 0
        yield None
    if n_filled:
        yield group[:n_filled]


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
