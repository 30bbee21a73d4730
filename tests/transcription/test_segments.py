from __future__ import annotations

from collections.abc import Sequence

import pytest

from hf_asr_endpoint.transcription.segments import TimedTokens, build_segments

WORDS = {1: " one", 2: " two", 3: " three", 9: " "}


def decode(tokens: Sequence[int]) -> str:
    return "".join(WORDS[token] for token in tokens)


def times(*spans: tuple[float, float], duration_s: float = 10.0) -> list[tuple[float, float]]:
    timed = [TimedTokens(start=start, end=end, tokens=(1,)) for start, end in spans]
    return [
        (segment.start, segment.end) for segment in build_segments(timed, duration_s=duration_s, decode=decode)
    ]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        pytest.param([(0, 2), (2, 4)], [(0, 2), (2, 4)], id="in order"),
        pytest.param([(0, 2), (3, 4)], [(0, 2), (3, 4)], id="a pause"),
        pytest.param([(0, 4), (3, 5)], [(0, 4), (4, 5)], id="overlap"),
        pytest.param([(0, 4), (1, 2)], [(0, 4), (4, 4)], id="back in time"),
        pytest.param([(3, 2)], [(3, 3)], id="end before start"),
        pytest.param([(8, 12)], [(8, 10)], id="past the end"),
        pytest.param([(-1, 2)], [(0, 2)], id="before the beginning"),
        pytest.param([(9, 11), (10, 12)], [(9, 10)], id="heard in the padding"),
        pytest.param([(1.2000000001, 3.3999999)], [(1.2, 3.4)], id="rounded to the timestamp grid"),
        pytest.param([], [], id="nothing"),
    ],
)
def test_times_are_inside_the_audio_and_never_go_back(
    spans: list[tuple[float, float]], expected: list[tuple[float, float]]
) -> None:
    assert times(*spans) == expected


def test_rounding_does_not_leave_the_audio() -> None:
    assert times((0.0, 2.0), duration_s=1.9961) == [(0.0, 1.9961)]


def test_segments_without_text_are_left_out() -> None:
    timed = [
        TimedTokens(start=0, end=1, tokens=()),
        TimedTokens(start=1, end=2, tokens=(9,)),
        TimedTokens(start=2, end=3, tokens=(2, 3)),
    ]
    (segment,) = build_segments(timed, duration_s=5.0, decode=decode)
    assert (segment.text, segment.tokens) == (" two three", (2, 3))
