"""Recordings of any length are cut at silence into chunks that hold all the speech, as they arrive."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hf_asr_endpoint.audio.chunking import BLOCK_SAMPLES, Chunk, ChunkingOptions, split_chunks
from hf_asr_endpoint.audio.speech_detector import N_STEP_SAMPLES
from hf_asr_endpoint.audio.speech_spans import Span, SpanFinder
from hf_asr_endpoint.audio.vad import VoiceActivityDetector
from hf_asr_endpoint.types import VoiceActivityOptions, Waveform
from hf_asr_endpoint.units import N_SAMPLES, SAMPLE_RATE
from tests.audio.tones import DATA, decode

LONG = Path(__file__).parents[3] / "shared" / "speech" / "long" / "test_other.flac"
"""Seven minutes of read speech that may lie beside the checkout."""

DEFAULTS = ChunkingOptions()
STEP_S = N_STEP_SAMPLES / SAMPLE_RATE


class LoudnessDetector:
    """Takes the loudest sample of a step for its speech probability, so that a waveform says what is speech."""

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
    """Join parts of (seconds, probability). The signs make places distinguishable."""
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
    """Split, having checked what is true of all chunks."""
    chunks = list(split_chunks(in_blocks(waveform, block_size), LoudnessDetector(), options=options))
    check(chunks, waveform, max_chunk_s=options.max_chunk_s)
    return chunks


def check(chunks: list[Chunk], waveform: Waveform, *, max_chunk_s: float = 30.0) -> None:
    """Chunks are pieces of the waveform, in order, without overlap, not too long, with their speech inside."""
    end = 0
    for chunk in chunks:
        begin = round(chunk.offset_s * SAMPLE_RATE)
        assert begin >= end
        end = begin + len(chunk.waveform)
        assert 0 < len(chunk.waveform) <= max_chunk_s * SAMPLE_RATE
        assert chunk.waveform.dtype == np.float32
        np.testing.assert_array_equal(chunk.waveform, waveform[begin:end])
        times_s = [time_s for span in chunk.speech for time_s in (span.start_s, span.end_s)]
        assert times_s
        assert times_s == sorted(times_s)
        assert times_s[0] >= 0
        assert times_s[-1] <= len(chunk.waveform) / SAMPLE_RATE


def extents_s(chunks: list[Chunk]) -> list[tuple[float, float]]:
    """Return where chunks begin and end, in seconds."""
    return [(chunk.offset_s, chunk.offset_s + len(chunk.waveform) / SAMPLE_RATE) for chunk in chunks]


def speech_s(chunks: list[Chunk]) -> list[tuple[float, float]]:
    """Return all speech, in seconds from the beginning of the file."""
    return [(chunk.offset_s + s.start_s, chunk.offset_s + s.end_s) for chunk in chunks for s in chunk.speech]


def as_plain(chunks: list[Chunk]) -> list[tuple[object, ...]]:
    return [(chunk.offset_s, chunk.speech, chunk.waveform.tobytes()) for chunk in chunks]


def about(*extents: tuple[float, float]) -> list[object]:
    return [pytest.approx(extent, abs=2 * STEP_S) for extent in extents]


@pytest.mark.parametrize(
    "waveform",
    [
        pytest.param(np.zeros(0, np.float32), id="empty"),
        pytest.param(np.zeros(1, np.float32), id="one sample"),
        pytest.param(np.zeros(N_SAMPLES, np.float32), id="30 s"),
        pytest.param(np.zeros(10 * N_SAMPLES + 1, np.float32), id="5 min"),
        pytest.param(make_waveform((60, 0.4)), id="not quite speech"),
        pytest.param(make_waveform((20, 0), (0.1, 0.6), (20, 0)), id="a blip"),
    ],
)
def test_without_speech_there_are_no_chunks(waveform: Waveform) -> None:
    assert split(waveform) == []


def test_no_blocks_are_no_chunks() -> None:
    assert list(split_chunks([], LoudnessDetector())) == []


@pytest.mark.parametrize(
    "waveform",
    [
        pytest.param(make_waveform((0.02, 0.9)), id="less than a step"),
        pytest.param(make_waveform((0.3, 0.9)), id="a word"),
        pytest.param(make_waveform((10, 0), (1, 0.9), (18, 0)), id="silence before and after"),
        pytest.param(make_waveform((1, 0.9), (8, 0), (1, 0.9), (20, 0)), id="a long pause"),
        pytest.param(make_waveform((30, 0.9)), id="30 s of speech"),
        pytest.param(make_waveform((29, 0), (1, 0.9)), id="speech at the end"),
    ],
)
def test_a_short_recording_stays_whole(waveform: Waveform) -> None:
    chunks = split(waveform)
    assert extents_s(chunks) == [(0.0, len(waveform) / SAMPLE_RATE)]


def test_a_short_recording_has_its_speech() -> None:
    chunks = split(make_waveform((2, 0), (1, 0.9), (8, 0), (3, 0.9), (5, 0)))
    assert speech_s(chunks) == about((2, 3), (11, 14))


def test_a_longer_recording_is_trimmed_to_its_speech() -> None:
    chunks = split(make_waveform((20, 0), (4, 0.9), (20, 0)))
    assert speech_s(chunks) == about((20, 24))
    assert extents_s(chunks) == about((19.8, 24.2))
    assert len(chunks[0].waveform) / SAMPLE_RATE == pytest.approx(4.4, abs=1.5 * STEP_S)


def test_pads_end_with_the_recording() -> None:
    chunks = split(make_waveform((0.1, 0), (2, 0.9), (40, 0), (2, 0.9), (0.1, 0)))
    assert extents_s(chunks) == about((0, 2.3), (41.9, 44.2))
    assert extents_s(chunks)[0][0] == 0.0
    assert extents_s(chunks)[1][1] == 44.2


def test_neighbours_share_a_short_silence() -> None:
    chunks = split(make_waveform((20, 0.9), (0.2, 0), (20, 0.9)))
    assert extents_s(chunks) == about((0, 20.1), (20.1, 40.2))
    assert extents_s(chunks)[0][1] == pytest.approx(extents_s(chunks)[1][0], abs=1e-4)


def test_spans_are_merged_from_left_to_right() -> None:
    chunks = split(make_waveform(*[(8, 0.9), (1, 0)] * 6))
    assert extents_s(chunks) == about((0, 26.2), (26.8, 53.2))
    assert [len(chunk.speech) for chunk in chunks] == [3, 3]


@pytest.mark.parametrize(
    ("gap_s", "n_chunks"), [pytest.param(2.9, 1, id="shorter"), pytest.param(3.2, 2, id="longer")]
)
def test_a_long_silence_ends_a_chunk(gap_s: float, n_chunks: int) -> None:
    assert len(split(make_waveform((2, 0.9), (gap_s, 0), (2, 0.9), (40, 0)))) == n_chunks


def test_speech_without_a_pause_is_cut_in_full_windows() -> None:
    chunks = split(make_waveform((300, 0.9)))
    assert len(chunks) == 11
    assert all(len(chunk.waveform) > 29.9 * SAMPLE_RATE for chunk in chunks[:-1])
    assert sum(len(chunk.waveform) for chunk in chunks) == 300 * SAMPLE_RATE


def test_speech_without_a_pause_is_cut_where_it_is_least_likely() -> None:
    dips = [(12, 0.9), (0.06, 0.36), (11.94, 0.9), (0.06, 0.6), (3.94, 0.9), (0.06, 0.7), (11.94, 0.9)]
    chunks = split(make_waveform(*dips))
    assert extents_s(chunks) == about((0, 24), (24, 40))


def test_speech_that_ends_just_after_the_window_is_cut_in_it() -> None:
    """The rest may be tiny, but must not be lost."""
    waveform = make_waveform((40, 0), (30, 0.9), (40, 0))
    chunks = split(waveform)
    assert speech_s(chunks)[-1][1] == pytest.approx(70, abs=STEP_S)
    assert sum(end - start for start, end in speech_s(chunks)) == pytest.approx(30, abs=2 * STEP_S)
    assert extents_s(chunks)[0][1] == extents_s(chunks)[1][0]


def test_what_is_left_of_cut_speech_is_merged_with_what_follows() -> None:
    chunks = split(make_waveform((35, 0.9), (1, 0), (5, 0.9), (20, 0)))
    assert extents_s(chunks) == about((0, 30), (30, 41.2))
    assert [len(chunk.speech) for chunk in chunks] == [1, 2]


BLOCK_SIZES = [
    pytest.param(N_STEP_SAMPLES, id="steps"),
    pytest.param(1_001, id="1001"),
    pytest.param(BLOCK_SAMPLES, id="4 s"),
    pytest.param(10 * N_SAMPLES + 1, id="5 min"),
]

RANDOM = [
    pytest.param(seed, mean_s, id=f"{mean_s} s, {seed}") for seed in range(6) for mean_s in (0.3, 1.5, 6.0, 25.0)
]


@pytest.mark.parametrize(("seed", "mean_s"), RANDOM)
@pytest.mark.parametrize("max_chunk_s", [1.0, 5.0, 30.0])
def test_all_speech_is_in_exactly_one_chunk(seed: int, mean_s: float, max_chunk_s: float) -> None:
    waveform = make_random_waveform(seed, mean_s=mean_s, duration_s=200)
    chunks = split(waveform, options=ChunkingOptions(max_chunk_s=max_chunk_s))
    n_chunks_with = np.zeros(len(waveform), np.int8)
    n_spans_with = np.zeros(len(waveform), np.int8)
    for chunk in chunks:
        begin = round(chunk.offset_s * SAMPLE_RATE)
        n_chunks_with[begin : begin + len(chunk.waveform)] += 1
        for span in chunk.speech:
            n_spans_with[begin + round(span.start_s * SAMPLE_RATE) : begin + round(span.end_s * SAMPLE_RATE)] += 1
    is_speech = np.zeros(len(waveform), np.int8)
    for span in find_spans(waveform):
        is_speech[span.start : span.end] = 1
    assert n_chunks_with.max() == 1
    np.testing.assert_array_equal(n_spans_with, is_speech)
    assert n_chunks_with[is_speech == 1].all()


def find_spans(waveform: Waveform) -> list[Span]:
    finder = SpanFinder(
        threshold=0.5,
        neg_threshold=0.35,
        short_threshold=0.8,
        min_speech=SAMPLE_RATE // 4,
        min_silence=SAMPLE_RATE // 10,
    )
    stream = LoudnessStream()
    spans = [*finder.push(stream.push(waveform)), *finder.push(stream.finish())]
    return [*spans, *finder.finish(len(waveform))]


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
        pytest.param(ChunkingOptions(max_gap_s=100.0, max_chunk_s=5.0), id="gaps longer than chunks"),
    ],
)
@pytest.mark.parametrize(("seed", "mean_s"), RANDOM[:8])
def test_chunks_do_not_depend_on_how_much_is_searched_at_once(
    monkeypatch: pytest.MonkeyPatch, seed: int, mean_s: float, options: ChunkingOptions, block_samples: int
) -> None:
    """A chunk is certain when it is closed: nothing that arrives later could have changed it."""
    waveform = make_random_waveform(seed, mean_s=mean_s, duration_s=130)
    expected = as_plain(split(waveform, options=options))
    monkeypatch.setattr("hf_asr_endpoint.audio.chunking.BLOCK_SAMPLES", block_samples)
    assert as_plain(split(waveform, options=options)) == expected


def test_blocks_may_be_changed_once_they_were_read() -> None:
    """Decoders reuse their buffers."""
    waveform = make_waveform((10, 0.9), (5, 0), (30, 0.9))
    buffer = np.empty(SAMPLE_RATE, np.float32)

    def blocks() -> Iterator[Waveform]:
        for block in in_blocks(waveform, SAMPLE_RATE):
            buffer[:] = block
            yield buffer
            buffer[:] = 0

    check(list(split_chunks(blocks(), LoudnessDetector())), waveform)


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

    next(split_chunks(blocks(), LoudnessDetector(), options=options))
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
    """Of an hour; chunks are let go as they come."""
    block = np.repeat(np.array(level, np.float32), SAMPLE_RATE // 8 if len(level) > 2 else 5 * SAMPLE_RATE)
    blocks = (block for _ in range(3_600 * SAMPLE_RATE // len(block)))
    n_chunks = 0
    tracemalloc.start()
    for chunk in split_chunks(blocks, LoudnessDetector()):
        n_chunks += 1
        del chunk
    _, n_peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (n_chunks > 0) == (level[0] > 0.8)
    # The chunk that is handed out comes on top of what is held.
    assert n_peak_bytes < (60 + 30) * SAMPLE_RATE * np.dtype(np.float32).itemsize


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"max_chunk_s": 30.1}, "max_chunk_s is 30.1; allowed: 1 to 30", id="beyond the window"),
        pytest.param({"max_chunk_s": 0.5}, "max_chunk_s is 0.5; allowed: 1 to 30", id="too short"),
        pytest.param(
            {"voice_activity": VoiceActivityOptions(speech_pad_s=16.0)},
            "speech_pad_s is 16; allowed: 0 to 15",
            id="mostly pad",
        ),
        pytest.param(
            {"voice_activity": VoiceActivityOptions(speech_pad_s=-0.1)},
            "speech_pad_s is -0.1; allowed: 0 to 15",
            id="negative pad",
        ),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ChunkingOptions(**options)


def test_a_lower_threshold_takes_more_for_speech() -> None:
    waveform = make_waveform((20, 0), (5, 0.45), (20, 0))
    assert split(waveform) == []
    assert split(waveform, options=ChunkingOptions(voice_activity=VoiceActivityOptions(threshold=0.4))) != []
    assert (
        split(
            waveform,
            options=ChunkingOptions(voice_activity=VoiceActivityOptions(threshold=0.4), neg_threshold=0.39),
        )
        != []
    )


def test_a_higher_negative_threshold_ends_speech_sooner() -> None:
    waveform = make_waveform((5, 0.9), (5, 0.4), (30, 0))
    assert speech_s(split(waveform)) == about((0, 10))
    assert speech_s(split(waveform, options=ChunkingOptions(neg_threshold=0.45))) == about((0, 5))


def test_a_real_clip_stays_whole() -> None:
    waveform = decode((DATA / "../jfk.mp3").read_bytes())
    chunks = list(split_chunks([waveform], VoiceActivityDetector()))
    check(chunks, waveform)
    assert extents_s(chunks) == [(0.0, len(waveform) / SAMPLE_RATE)]
    assert len(chunks[0].speech) > 2  # He pauses for effect.


def test_real_speech_is_found_between_silences() -> None:
    clip = decode((DATA / "../2033-164914-0007.flac").read_bytes())
    silence = np.zeros(20 * SAMPLE_RATE, np.float32)
    waveform = np.concatenate([silence, clip, silence, clip, silence])
    chunks = list(split_chunks(in_blocks(waveform, 1_234), VoiceActivityDetector()))
    check(chunks, waveform)
    clip_s = len(clip) / SAMPLE_RATE
    assert extents_s(chunks) == [
        pytest.approx((begin_s, begin_s + clip_s), abs=0.7) for begin_s in (20, 40 + clip_s)
    ]


@pytest.mark.skipif(not LONG.exists(), reason="no shared recordings beside the checkout")
@pytest.mark.parametrize("block_size", BLOCK_SIZES[1:])
def test_every_utterance_of_a_long_recording_is_inside_a_chunk(block_size: int) -> None:
    waveform = decode(LONG.read_bytes())
    chunks = list(split_chunks(in_blocks(waveform, block_size), VoiceActivityDetector()))
    check(chunks, waveform)
    assert len(chunks) < 22
    speech = speech_s(chunks)
    utterances = json.loads(LONG.with_suffix(".flac.json").read_text())["segments"]
    for text, start_s, end_s in utterances:
        # Utterances begin and end with up to half a second of silence.
        spoken = [s for s in speech if s[1] > start_s + 0.1 and s[0] < end_s - 0.1]
        assert spoken, text
        assert spoken[0][0] < start_s + 1.0, text
        assert spoken[-1][1] > end_s - 1.0, text
    held_s = sum(end - start for start, end in extents_s(chunks))
    assert held_s > 0.95 * len(waveform) / SAMPLE_RATE
