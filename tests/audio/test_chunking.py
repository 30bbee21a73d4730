"""Recordings of any length are cut at silence into chunks that hold all the speech."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hf_asr_endpoint.audio.chunking import ChunkingOptions, split_chunks
from hf_asr_endpoint.audio.speech_spans import Span, SpanFinder
from hf_asr_endpoint.types import VoiceActivityOptions, Waveform
from hf_asr_endpoint.units import N_SAMPLES, SAMPLE_RATE
from tests.audio.loudness import (
    RANDOM,
    STEP_S,
    LoudnessDetector,
    LoudnessStream,
    about,
    as_plain,
    extents_s,
    make_random_waveform,
    make_waveform,
    speech_s,
    split,
)


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


def test_without_blocks_there_are_no_chunks() -> None:
    assert list(split_chunks([], LoudnessDetector())) == []


@pytest.mark.parametrize(
    ("waveform", "expected"),
    [
        pytest.param(make_waveform((0.3, 0.9)), [(0, 0.3)], id="a word"),
        pytest.param(make_waveform((10, 0), (1, 0.9), (18, 0)), [(9, 11.2)], id="silence before and after"),
        pytest.param(
            make_waveform((1, 0.9), (8, 0), (1, 0.9), (20, 0)), [(0, 1.2), (8.8, 10.2)], id="a long pause"
        ),
        pytest.param(make_waveform((1, 0.9), (2, 0), (1, 0.9)), [(0, 4)], id="a short pause"),
        pytest.param(make_waveform((30, 0.9)), [(0, 30)], id="30 s of speech"),
        pytest.param(make_waveform((29, 0), (1, 0.9)), [(28, 30)], id="speech at the end"),
    ],
)
def test_a_short_recording_is_planned_as_a_long_one(
    waveform: Waveform, expected: list[tuple[float, float]]
) -> None:
    assert extents_s(split(waveform)) == about(*expected)


@pytest.mark.parametrize("seconds", [0.02, 0.09, 0.1])
def test_a_recording_of_a_tenth_of_a_second_has_no_speech(seconds: float) -> None:
    assert split(make_waveform((seconds, 0.9))) == []


def test_a_longer_recording_is_trimmed_to_its_speech() -> None:
    chunks = split(make_waveform((20, 0), (4, 0.9), (20, 0)))
    assert speech_s(chunks) == about((20, 24))
    assert extents_s(chunks) == about((19, 24.2))
    assert len(chunks[0].waveform) / SAMPLE_RATE == pytest.approx(5.2, abs=1.5 * STEP_S)


def test_pads_end_with_the_recording() -> None:
    chunks = split(make_waveform((0.1, 0), (2, 0.9), (40, 0), (2, 0.9), (0.1, 0)))
    assert extents_s(chunks) == about((0, 2.3), (41.9, 44.2))
    assert extents_s(chunks)[0][0] == 0.0
    assert extents_s(chunks)[1][1] == 44.2


def test_neighbours_share_a_short_silence() -> None:
    chunks = split(make_waveform((20, 0.9), (0.2, 0), (20, 0.9)))
    assert extents_s(chunks) == about((0, 20.1), (20.1, 40.2))
    assert extents_s(chunks)[0][1] == pytest.approx(extents_s(chunks)[1][0], abs=1e-4)


def test_spans_are_joined_in_order() -> None:
    chunks = split(make_waveform(*[(8, 0.9), (1, 0)] * 6))
    assert extents_s(chunks) == about((0, 26.2), (26.8, 54))
    assert [len(chunk.speech) for chunk in chunks] == [3, 3]


@pytest.mark.parametrize(
    ("gap_s", "n_chunks"), [pytest.param(2.9, 1, id="shorter"), pytest.param(3.2, 2, id="longer")]
)
def test_a_long_silence_ends_a_chunk(gap_s: float, n_chunks: int) -> None:
    assert len(split(make_waveform((2, 0.9), (gap_s, 0), (2, 0.9), (40, 0)))) == n_chunks


def with_silence(seconds: float | None) -> ChunkingOptions:
    return ChunkingOptions(voice_activity=VoiceActivityOptions(silence_duration_s=seconds))


@pytest.mark.parametrize(
    ("silence_s", "extents"),
    [
        pytest.param(None, [(0, 12.3)], id="not set"),
        pytest.param(0.2, [(0, 2.2), (2.7, 5.2), (6.2, 9.2), (11, 12.3)], id="0.2 s"),
        pytest.param(0.8, [(0, 5.2), (6.2, 9.2), (11, 12.3)], id="0.8 s"),
        pytest.param(1.6, [(0, 9.2), (11, 12.3)], id="1.6 s"),
        pytest.param(2.5, [(0, 12.3)], id="2.5 s"),
    ],
)
def test_a_silence_of_the_given_duration_ends_a_chunk(
    silence_s: float | None, extents: list[tuple[float, float]]
) -> None:
    """OpenAI's silence_duration_ms only changed spans of speech, which were joined to the same chunks again."""
    waveform = make_waveform((2, 0.9), (0.7, 0), (2.3, 0.9), (1.4, 0), (2.6, 0.9), (2.2, 0), (1.1, 0.9))
    chunks = split(waveform, options=with_silence(silence_s))
    assert extents_s(chunks) == [pytest.approx(extent, abs=0.3) for extent in extents]


def test_a_given_silence_longer_than_all_silences_cuts_full_chunks_only() -> None:
    waveform = make_waveform(*[(8, 0.9), (1, 0)] * 6)
    assert as_plain(split(waveform, options=with_silence(5.0))) == as_plain(split(waveform))


@pytest.mark.parametrize(("seed", "mean_s"), RANDOM[:8])
@pytest.mark.parametrize("silence_s", [0.0, 0.05, 0.2, 1.0, 5.0])
def test_given_silences_do_not_make_chunks_depend_on_the_blocks(
    seed: int, mean_s: float, silence_s: float
) -> None:
    waveform = make_random_waveform(seed, mean_s=mean_s, duration_s=130)
    options = with_silence(silence_s)
    expected = as_plain(split(waveform, options=options))
    assert as_plain(split(waveform, options=options, block_size=1_001)) == expected


def test_speech_without_a_pause_is_cut_in_full_windows() -> None:
    chunks = split(make_waveform((300, 0.9)))
    assert len(chunks) == 11
    assert all(len(chunk.waveform) > 29.9 * SAMPLE_RATE for chunk in chunks[:-1])
    assert sum(len(chunk.waveform) for chunk in chunks) == 300 * SAMPLE_RATE


def test_speech_without_a_pause_is_cut_where_it_is_least_likely() -> None:
    dips = [(12, 0.9), (0.06, 0.36), (11.94, 0.9), (0.06, 0.6), (3.94, 0.9), (0.06, 0.7), (11.94, 0.9)]
    chunks = split(make_waveform(*dips))
    assert extents_s(chunks) == about((0, 24), (24, 40))


def test_speech_just_longer_than_a_window_is_cut_within_it() -> None:
    """The rest may be tiny but must not be lost."""
    waveform = make_waveform((40, 0), (30, 0.9), (40, 0))
    chunks = split(waveform)
    assert speech_s(chunks)[-1][1] == pytest.approx(70, abs=STEP_S)
    assert sum(end - start for start, end in speech_s(chunks)) == pytest.approx(30, abs=2 * STEP_S)
    assert extents_s(chunks)[0][1] == extents_s(chunks)[1][0]


def test_the_rest_of_cut_speech_is_joined_with_the_next_span() -> None:
    chunks = split(make_waveform((35, 0.9), (1, 0), (5, 0.9), (20, 0)))
    assert extents_s(chunks) == about((0, 30), (30, 41.2))
    assert [len(chunk.speech) for chunk in chunks] == [1, 2]


@pytest.mark.parametrize(("seed", "mean_s"), RANDOM)
@pytest.mark.parametrize("chunk_length_s", [1.0, 5.0, 30.0])
def test_all_speech_is_in_exactly_one_chunk(seed: int, mean_s: float, chunk_length_s: float) -> None:
    waveform = make_random_waveform(seed, mean_s=mean_s, duration_s=200)
    chunks = split(waveform, options=ChunkingOptions(chunk_length_s=chunk_length_s))
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
        max_click=SAMPLE_RATE // 10,
    )
    stream = LoudnessStream()
    spans = [*finder.push(stream.push(waveform)), *finder.push(stream.finish())]
    return [*spans, *finder.finish(len(waveform))]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"chunk_length_s": 30.1}, "chunk_length_s is 30.1; allowed: 1 to 30", id="beyond the window"),
        pytest.param({"chunk_length_s": 0.5}, "chunk_length_s is 0.5; allowed: 1 to 30", id="too short"),
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


def test_a_lower_threshold_finds_more_speech() -> None:
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
