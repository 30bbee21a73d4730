"""Where a recording is cut, from spans and probabilities alone, in samples."""

from __future__ import annotations

import numpy as np
import pytest

from hf_asr_endpoint.audio.chunk_plan import ChunkPlanner, PlannedChunk, RecentProbabilities
from hf_asr_endpoint.audio.speech_spans import N_STEP_SAMPLES, Span

STEP = N_STEP_SAMPLES


def make_planner(probabilities: list[float] | None = None, *, edge_pad: int = 2) -> ChunkPlanner:
    """Return a planner of chunks of at most 30 steps, with pads of 2 and gaps of at most 5.

    edge_pad: in steps.
    """
    recent = RecentProbabilities()
    recent.push(np.array(probabilities or [], np.float32))
    return ChunkPlanner(
        recent, max_chunk=30 * STEP, max_gap=5 * STEP, speech_pad=2 * STEP, edge_pad=edge_pad * STEP
    )


def span(start: int, end: int) -> Span:
    return Span(start=start * STEP, end=end * STEP)


def planned(extent: Span, *speech: Span) -> PlannedChunk:
    return PlannedChunk(extent=extent, speech=speech)


def test_a_chunk_takes_spans_until_they_are_too_far_away() -> None:
    planner = make_planner()
    assert list(planner.add(span(10, 12))) == []
    assert list(planner.add(span(17, 18))) == []
    assert list(planner.add(span(24, 25))) == [planned(span(8, 20), span(10, 12), span(17, 18))]
    assert list(planner.finish(100 * STEP)) == [planned(span(22, 27), span(24, 25))]
    assert list(planner.finish(100 * STEP)) == []


def test_a_chunk_takes_spans_until_it_is_full() -> None:
    planner = make_planner()
    assert list(planner.add(span(10, 24))) == []
    assert list(planner.add(span(25, 37))) == []
    assert list(planner.add(span(39, 40))) == [
        PlannedChunk(extent=Span(start=8 * STEP, end=38 * STEP), speech=(span(10, 24), span(25, 37)))
    ]
    assert list(planner.finish(40 * STEP)) == [planned(span(38, 40), span(39, 40))]


def test_a_full_chunk_is_cut_at_the_longest_silence_of_its_second_half() -> None:
    planner = make_planner()
    for spoken in (span(10, 13), span(18, 26), span(29, 33), span(34, 37)):
        assert list(planner.add(spoken)) == []
    assert list(planner.add(span(39, 40))) == [
        PlannedChunk(extent=Span(start=8 * STEP, end=27 * STEP + STEP // 2), speech=(span(10, 13), span(18, 26)))
    ]
    rest = (span(29, 33), span(34, 37), span(39, 40))
    assert list(planner.finish(40 * STEP)) == [
        PlannedChunk(extent=Span(start=27 * STEP + STEP // 2, end=40 * STEP), speech=rest)
    ]


@pytest.mark.parametrize(("spoken", "kept"), [(1, 2), (3, 3), (4, 4), (9, 4)])
def test_no_more_silence_is_kept_at_the_edges_than_there_is_speech(spoken: int, kept: int) -> None:
    planner = make_planner(edge_pad=4)
    speech = span(10, 10 + spoken)
    assert list(planner.add(speech)) == []
    assert list(planner.finish((10 + spoken + 5) * STEP)) == [planned(span(10 - kept, 10 + spoken + kept), speech)]


def test_the_last_pad_ends_with_the_recording() -> None:
    planner = make_planner()
    list(planner.add(span(0, 9)))
    assert list(planner.finish(10 * STEP)) == [planned(span(0, 10), span(0, 9))]


def test_long_speech_is_cut_in_the_middle_of_the_quietest_step() -> None:
    probabilities = [0.9] * 50
    probabilities[15] = 0.0  # in the second third of the chunk
    probabilities[24] = 0.5
    planner = make_planner(probabilities)
    cut = 24 * STEP + STEP // 2
    assert list(planner.add(span(0, 50))) == [
        PlannedChunk(extent=Span(start=0, end=cut), speech=(Span(start=0, end=cut),))
    ]
    rest = Span(start=cut, end=50 * STEP)
    assert list(planner.finish(50 * STEP)) == [PlannedChunk(extent=rest, speech=(rest,))]


def test_the_last_of_equally_quiet_steps_is_cut() -> None:
    planner = make_planner([0.9] * 50)
    (chunk,) = planner.add(span(0, 31))
    assert chunk.extent.end == 29 * STEP + STEP // 2


def test_the_quietest_step_is_found_after_earlier_ones_are_dropped() -> None:
    recent = RecentProbabilities()
    for first in range(0, 100, 10):
        recent.push(np.linspace(1, 0.5, 100, dtype=np.float32)[first : first + 10])
        recent.drop_before((first - 35) * STEP + 7)
    assert recent.quietest(span(60, 80)) == 79 * STEP + STEP // 2


def test_an_open_span_is_cut_as_soon_as_it_is_too_long() -> None:
    planner = make_planner([0.9] * 50)
    assert list(planner.advance(span(0, 30), next_start=0)) == []
    (chunk,) = planner.advance(span(0, 31), next_start=0)
    assert planner.first_needed(next_start=0) == chunk.extent.end
    assert list(planner.add(span(0, 35))) == []
    assert list(planner.finish(50 * STEP)) == [
        planned(Span(start=chunk.extent.end, end=37 * STEP), Span(start=chunk.extent.end, end=35 * STEP))
    ]


def test_silence_closes_a_chunk_once_it_is_too_long() -> None:
    planner = make_planner()
    list(planner.add(span(10, 12)))
    assert list(planner.advance(None, next_start=17 * STEP)) == []
    assert planner.first_needed(next_start=17 * STEP) == 8 * STEP
    assert list(planner.advance(None, next_start=18 * STEP)) == [planned(span(8, 14), span(10, 12))]
    assert planner.first_needed(next_start=18 * STEP) == 16 * STEP


def test_silence_closes_a_chunk_once_nothing_more_fits() -> None:
    planner = make_planner()
    list(planner.add(span(10, 33)))
    assert list(planner.advance(None, next_start=37 * STEP)) == []
    assert list(planner.advance(None, next_start=38 * STEP)) == [planned(span(8, 35), span(10, 33))]
