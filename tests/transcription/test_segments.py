from __future__ import annotations

from collections.abc import Sequence

import pytest

from hf_asr_endpoint.transcription.segments import SegmentBuilder, TimedTokens
from hf_asr_endpoint.types import DecodedWindow, Segment

WORDS = {1: " one", 2: " two", 3: " three", 9: " "}


def decode(tokens: Sequence[int]) -> str:
    return "".join(WORDS[token] for token in tokens)


WINDOW = DecodedWindow(start=0.0, temperature=0.0, avg_logprob=-0.3, compression_ratio=1.0, no_speech_prob=0.1)


def build(*timed_tokens: TimedTokens, begin_s: float = 0.0, end_s: float = 10.0) -> list[Segment]:
    builder = SegmentBuilder(begin_s=begin_s, end_s=end_s, decode=decode)
    built = [builder.build(timed, WINDOW) for timed in timed_tokens]
    return [segment for segment in built if segment is not None]


def times(*spans: tuple[float, float], begin_s: float = 0.0, end_s: float = 10.0) -> list[tuple[float, float]]:
    timed = [TimedTokens(start=start, end=end, tokens=(1,)) for start, end in spans]
    return [(segment.start, segment.end) for segment in build(*timed, begin_s=begin_s, end_s=end_s)]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        pytest.param([(0, 2), (2, 4)], [(0, 2), (2, 4)], id="in order"),
        pytest.param([(0, 2), (3, 4)], [(0, 2), (3, 4)], id="a pause"),
        pytest.param([(0, 4), (3, 5)], [(0, 4), (4, 5)], id="overlap"),
        pytest.param([(0, 4), (1, 2)], [(0, 4), (4, 4.02)], id="back in time"),
        pytest.param([(3, 2)], [(3, 3.02)], id="end before start"),
        pytest.param([(8, 12)], [(8, 10)], id="past the end"),
        pytest.param([(-1, 2)], [(0, 2)], id="before the beginning"),
        pytest.param([(9, 11), (10, 12)], [(9, 10)], id="in the padding"),
        pytest.param([(1.2000000001, 3.3999999)], [(1.2, 3.4)], id="rounded to the timestamp grid"),
        pytest.param([], [], id="nothing"),
    ],
)
def test_times_are_inside_the_audio_and_never_go_back(
    spans: list[tuple[float, float]], expected: list[tuple[float, float]]
) -> None:
    assert times(*spans) == expected


def test_rounded_times_stay_inside_the_audio() -> None:
    assert times((0.0, 2.0), end_s=1.9961) == [(0.0, 1.99)]


def test_chunks_segments_do_not_overlap() -> None:
    """Whatever rounding does, neither's times lie in the other."""
    for seconds in (0.30499, 0.305, 2.675, 7.005, 8.1):
        ((_, end),) = times((0.0, 20.0), end_s=seconds)
        ((start, _),) = times((seconds, 20.0), begin_s=seconds, end_s=20.0)
        assert end <= seconds + 1e-9
        assert end <= start


def test_segments_without_text_are_left_out() -> None:
    (segment,) = build(
        TimedTokens(start=0, end=1, tokens=()),
        TimedTokens(start=1, end=2, tokens=(9,)),
        TimedTokens(start=2, end=3, tokens=(2, 3)),
    )
    assert (segment.text, segment.tokens) == (" two three", (2, 3))
