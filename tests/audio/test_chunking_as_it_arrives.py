"""Chunks come as soon as nothing later can change them, and do not depend on the size of the blocks."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from hf_asr_endpoint.audio.chunking import ChunkingOptions, split_chunks
from hf_asr_endpoint.audio.speech_spans import N_STEP_SAMPLES
from hf_asr_endpoint.types import VoiceActivityOptions, Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.loudness import (
    BLOCK_SIZES,
    DEFAULTS,
    RANDOM,
    LoudnessDetector,
    as_plain,
    check,
    in_blocks,
    make_random_waveform,
    make_waveform,
    only_chunks,
    split,
)


@pytest.mark.parametrize("block_size", BLOCK_SIZES[:-1])
@pytest.mark.parametrize(("seed", "mean_s"), RANDOM[:8])
def test_chunks_do_not_depend_on_the_blocks(seed: int, mean_s: float, block_size: int) -> None:
    waveform = make_random_waveform(seed, mean_s=mean_s, duration_s=130)
    assert as_plain(split(waveform, block_size=block_size)) == as_plain(split(waveform))


@pytest.mark.parametrize("block_samples", [N_STEP_SAMPLES, 10 * SAMPLE_RATE, 10**7])
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(DEFAULTS, id="defaults"),
        pytest.param(
            ChunkingOptions(max_gap_s=0.1, voice_activity=VoiceActivityOptions(speech_pad_s=1.0)),
            id="gaps shorter than pads",
        ),
        pytest.param(ChunkingOptions(max_gap_s=100.0, chunk_length_s=5.0), id="gaps longer than chunks"),
    ],
)
@pytest.mark.parametrize(("seed", "mean_s"), RANDOM[:8])
def test_chunks_do_not_depend_on_how_much_is_searched_at_once(
    monkeypatch: pytest.MonkeyPatch, seed: int, mean_s: float, options: ChunkingOptions, block_samples: int
) -> None:
    """A chunk that was yielded cannot be changed by later audio."""
    waveform = make_random_waveform(seed, mean_s=mean_s, duration_s=130)
    expected = as_plain(split(waveform, options=options))
    monkeypatch.setattr("hf_asr_endpoint.audio.chunking.BLOCK_SAMPLES", block_samples)
    assert as_plain(split(waveform, options=options)) == expected


def test_the_consumer_of_blocks_copies_them() -> None:
    """Decoders reuse their buffers."""
    waveform = make_waveform((10, 0.9), (5, 0), (30, 0.9))
    buffer = np.empty(SAMPLE_RATE, np.float32)

    def blocks() -> Iterator[Waveform]:
        for block in in_blocks(waveform, SAMPLE_RATE):
            buffer[:] = block
            yield buffer
            buffer[:] = 0

    check(only_chunks(split_chunks(blocks(), LoudnessDetector())), waveform)


@pytest.mark.parametrize(
    ("block_sizes", "n_places"),
    [
        pytest.param([0] * 10, 10, id="empty blocks"),
        pytest.param([SAMPLE_RATE] * 40, 40, id="seconds"),
        pytest.param([40 * SAMPLE_RATE], 10, id="one long block"),
    ],
)
def test_the_consumer_can_stop_after_each_block_and_every_4_s(block_sizes: list[int], n_places: int) -> None:
    n_taken = 0

    def blocks() -> Iterator[Waveform]:
        nonlocal n_taken
        for size in block_sizes:
            n_taken += 1
            yield np.zeros(size, np.float32)

    n_taken_at_each_place = [n_taken for chunk in split_chunks(blocks(), LoudnessDetector()) if chunk is None]
    assert len(n_taken_at_each_place) >= n_places
    assert set(n_taken_at_each_place) == set(range(1, len(block_sizes) + 1))


@pytest.mark.parametrize(
    ("parts", "max_read_s"),
    [
        pytest.param([(9, 0.9), (1, 0)] * 60, 40, id="speech with pauses"),
        pytest.param([(600, 0.9)], 40, id="speech without a pause"),
        pytest.param([(2, 0.9), (600, 0)], 35, id="silence after speech"),
        pytest.param([(300, 0), (2, 0.9), (300, 0)], 340, id="silence around speech"),
    ],
)
@pytest.mark.parametrize(
    "options",
    [pytest.param(DEFAULTS, id="defaults"), pytest.param(ChunkingOptions(max_gap_s=10**6), id="no gap too long")],
)
def test_the_first_chunk_comes_long_before_the_end(
    parts: list[tuple[float, float]], max_read_s: float, options: ChunkingOptions
) -> None:
    waveform = make_waveform(*parts)
    n_read = 0

    def blocks() -> Iterator[Waveform]:
        nonlocal n_read
        for block in in_blocks(waveform, SAMPLE_RATE):
            n_read += len(block)
            yield block

    assert any(split_chunks(blocks(), LoudnessDetector(), options=options))
    assert n_read <= max_read_s * SAMPLE_RATE


@pytest.mark.parametrize(
    "level",
    [
        pytest.param([0.0], id="silence"),
        pytest.param([0.9], id="speech"),
        pytest.param([0.9, 0.0], id="sentences"),
        pytest.param([0.9, 0.0] + [0.4] * 1_000, id="neither"),
        pytest.param([0.6, 0.0] + [0.4] * 1_000, id="neither, after a blip"),
    ],
)
def test_no_more_than_a_minute_is_held(level: list[float]) -> None:
    """An hour of audio, whose chunks are dropped as they come."""
    block = np.repeat(np.array(level, np.float32), SAMPLE_RATE // 8 if len(level) > 2 else 5 * SAMPLE_RATE)
    blocks = (block for _ in range(3_600 * SAMPLE_RATE // len(block)))
    n_chunks = 0
    tracemalloc.start()
    for chunk in split_chunks(blocks, LoudnessDetector()):
        n_chunks += chunk is not None
        del chunk
    _, n_peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (n_chunks > 0) == (level[0] > 0.8)
    # One chunk is yielded in addition to the samples that are held.
    assert n_peak_bytes < (60 + 30) * SAMPLE_RATE * np.dtype(np.float32).itemsize
