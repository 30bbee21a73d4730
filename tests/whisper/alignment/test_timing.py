from __future__ import annotations

import numpy as np
import pytest

from hf_asr_endpoint.whisper.alignment.timing import AlignmentOutput, TimedToken, locate_tokens


def attention(spans: list[tuple[int, int]], *, n_positions: int) -> AlignmentOutput:
    """Each token attends to a range of positions, most of all to the middle; the end attends to what is left."""
    weights = np.full((len(spans) + 1, n_positions), 1e-4, np.float32)
    for row, (begin, end) in enumerate([*spans, (spans[-1][1], n_positions)]):
        weights[row, begin:end] = 0.2
        weights[row, (begin + end) // 2] = 0.3
    weights /= weights.sum(axis=1, keepdims=True)
    return AlignmentOutput(weights=weights, probabilities=tuple(0.5 + row / 100 for row in range(len(spans))))


def times(tokens: list[TimedToken]) -> list[tuple[float, float]]:
    return [(round(token.start, 2), round(token.end, 2)) for token in tokens]


def test_tokens_are_where_they_attend_to() -> None:
    tokens = locate_tokens(attention([(0, 10), (10, 30), (30, 35)], n_positions=50), begin_s=0.0, end_s=1.0)
    assert times(tokens) == [(0.0, 0.2), (0.2, 0.6), (0.6, 0.7)]
    assert [token.peak for token in tokens] == pytest.approx([0.11, 0.41, 0.65])
    assert [token.probability for token in tokens] == [0.5, 0.51, 0.52]


def test_the_first_token_begins_with_the_speech_and_the_last_one_ends_in_it() -> None:
    found = attention([(10, 20), (20, 30)], n_positions=50)
    assert times(locate_tokens(found, begin_s=0.0, end_s=1.0))[0][0] == 0.0
    assert times(locate_tokens(found, begin_s=0.2, end_s=0.5)) == [(0.2, 0.4), (0.4, 0.48)]


@pytest.mark.parametrize(
    ("begin_s", "end_s"),
    [(0.0, 90.0), (0.98, 1.0), (2.0, 3.0), (0.5, 0.5)],
    ids=["behind the audio", "short", "outside", "empty"],
)
def test_times_stay_in_the_audio_however_little_speech_there_is(begin_s: float, end_s: float) -> None:
    tokens = locate_tokens(attention([(0, 10), (10, 30), (30, 35)], n_positions=50), begin_s=begin_s, end_s=end_s)
    flat = [time for token in tokens for time in (token.start, token.end)]
    assert flat == sorted(flat)
    assert flat[0] >= 0.0
    assert flat[-1] <= 1.0


def test_attention_that_is_zero_somewhere_is_no_error() -> None:
    weights = np.zeros((3, 20), np.float32)
    weights[:, 4] = 1.0
    tokens = locate_tokens(AlignmentOutput(weights=weights, probabilities=(1.0, 1.0)), begin_s=0.0, end_s=0.4)
    assert all(token.start < token.end for token in tokens)
