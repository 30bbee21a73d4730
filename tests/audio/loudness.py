"""Waveforms whose loudness is their speech probability, and checks that hold for the chunks of any waveform."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from hf_asr_endpoint.audio.chunking import BLOCK_SAMPLES, Chunk, ChunkingOptions, split_chunks
from hf_asr_endpoint.audio.speech_spans import N_STEP_SAMPLES
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import N_SAMPLES, SAMPLE_RATE

DEFAULTS = ChunkingOptions()
STEP_S = N_STEP_SAMPLES / SAMPLE_RATE

BLOCK_SIZES = [
    pytest.param(N_STEP_SAMPLES, id="steps"),
    pytest.param(1_001, id="1001"),
    pytest.param(BLOCK_SAMPLES, id="4 s"),
    pytest.param(10 * N_SAMPLES + 1, id="5 min"),
]

RANDOM = [
    pytest.param(seed, mean_s, id=f"{mean_s} s, {seed}") for seed in range(6) for mean_s in (0.3, 1.5, 6.0, 25.0)
]


class LoudnessDetector:
    """Detects speech by the loudest sample of each step, so that a waveform decides what is speech."""

    def stream(self) -> LoudnessStream:
        return LoudnessStream()


class LoudnessStream:
    def __init__(self) -> None:
        self._waiting = np.zeros(0, np.float32)

    def push(self, block: Waveform) -> np.ndarray:
        samples = np.concatenate([self._waiting, block])
        n_steps = len(samples) // N_STEP_SAMPLES
        self._waiting = samples[n_steps * N_STEP_SAMPLES :]
        return np.abs(samples[: n_steps * N_STEP_SAMPLES]).reshape(n_steps, N_STEP_SAMPLES).max(axis=1)

    def finish(self) -> np.ndarray:
        return self.push(np.zeros(-len(self._waiting) % N_STEP_SAMPLES, np.float32))


def make_waveform(*parts: tuple[float, float]) -> Waveform:
    """Join parts of (seconds, probability). Random signs make places distinguishable."""
    levels = np.concatenate([np.full(round(s * SAMPLE_RATE), p, np.float32) for s, p in parts])
    return levels * np.random.default_rng(0).choice([-1, 1], len(levels)).astype(np.float32)


def make_random_waveform(seed: int, *, mean_s: float, duration_s: float) -> Waveform:
    """Alternate speech and silence of random lengths and probabilities."""
    rng = np.random.default_rng(seed)
    parts: list[tuple[float, float]] = []
    while sum(seconds for seconds, _ in parts) < duration_s:
        parts.append((rng.exponential(mean_s), rng.uniform(0.5, 1)))
        parts.append((rng.exponential(mean_s / 3), rng.uniform(0, 0.45)))
    return make_waveform(*parts)


def in_blocks(waveform: Waveform, size: int) -> Iterator[Waveform]:
    return (waveform[begin : begin + size] for begin in range(0, len(waveform), size))


def split(waveform: Waveform, *, block_size: int = 10**9, options: ChunkingOptions = DEFAULTS) -> list[Chunk]:
    """Split the waveform, and check what is true of all chunks."""
    chunks = only_chunks(split_chunks(in_blocks(waveform, block_size), LoudnessDetector(), options=options))
    check(chunks, waveform, chunk_length_s=options.chunk_length_s)
    return chunks


def only_chunks(chunks: Iterable[Chunk | None]) -> list[Chunk]:
    return [chunk for chunk in chunks if chunk is not None]


def check(chunks: list[Chunk], waveform: Waveform, *, chunk_length_s: float = 30.0) -> None:
    """Check that chunks are short pieces of the waveform, in order, without overlap, with speech inside."""
    end = 0
    for chunk in chunks:
        begin = round(chunk.offset_s * SAMPLE_RATE)
        assert begin >= end
        end = begin + len(chunk.waveform)
        assert 0 < len(chunk.waveform) <= chunk_length_s * SAMPLE_RATE
        assert chunk.waveform.dtype == np.float32
        np.testing.assert_array_equal(chunk.waveform, waveform[begin:end])
        times_s = [time_s for span in chunk.speech for time_s in (span.start_s, span.end_s)]
        assert times_s
        assert times_s == sorted(times_s)
        assert times_s[0] >= 0
        assert times_s[-1] <= len(chunk.waveform) / SAMPLE_RATE


def extents_s(chunks: list[Chunk]) -> list[tuple[float, float]]:
    """Return the beginning and the end of each chunk, in seconds."""
    return [(chunk.offset_s, chunk.offset_s + len(chunk.waveform) / SAMPLE_RATE) for chunk in chunks]


def speech_s(chunks: list[Chunk]) -> list[tuple[float, float]]:
    """Return all spans of speech, in seconds from the beginning of the file."""
    return [(chunk.offset_s + s.start_s, chunk.offset_s + s.end_s) for chunk in chunks for s in chunk.speech]


def as_plain(chunks: list[Chunk]) -> list[tuple[object, ...]]:
    return [(chunk.offset_s, chunk.speech, chunk.waveform.tobytes()) for chunk in chunks]


def about(*extents: tuple[float, float]) -> list[object]:
    return [pytest.approx(extent, abs=2 * STEP_S) for extent in extents]
