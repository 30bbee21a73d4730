from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from hf_asr_endpoint.whisper.alignment.timing import (
    AlignmentOutput,
    TimedToken,
    dtw_first_columns,
    locate_tokens,
)

Costs = npt.NDArray[np.float64]


def make_attention(spans: list[tuple[int, int]], *, n_positions: int) -> AlignmentOutput:
    """Each token attends to a range of positions, most of all to its middle; the end attends to the rest."""
    weights = np.full((len(spans) + 1, n_positions), 1e-4, np.float32)
    for row, (begin, end) in enumerate([*spans, (spans[-1][1], n_positions)]):
        weights[row, begin:end] = 0.2
        weights[row, (begin + end) // 2] = 0.3
    weights /= weights.sum(axis=1, keepdims=True)
    return AlignmentOutput(weights=weights, probabilities=tuple(0.5 + row / 100 for row in range(len(spans))))


def times(tokens: list[TimedToken]) -> list[tuple[float, float]]:
    return [(round(token.start, 2), round(token.end, 2)) for token in tokens]


def test_tokens_are_timed_where_they_attend_to() -> None:
    attention = make_attention([(0, 10), (10, 30), (30, 35)], n_positions=50)
    tokens = locate_tokens(attention, begin_s=0.0, end_s=1.0)
    assert times(tokens) == [(0.0, 0.2), (0.2, 0.6), (0.6, 0.7)]
    assert [token.peak for token in tokens] == pytest.approx([0.11, 0.41, 0.65])
    assert [token.probability for token in tokens] == [0.5, 0.51, 0.52]


def test_the_first_token_starts_with_the_speech_and_the_last_one_ends_within_it() -> None:
    attention = make_attention([(10, 20), (20, 30)], n_positions=50)
    assert times(locate_tokens(attention, begin_s=0.0, end_s=1.0))[0][0] == 0.0
    assert times(locate_tokens(attention, begin_s=0.2, end_s=0.5)) == [(0.2, 0.4), (0.4, 0.48)]


@pytest.mark.parametrize(
    ("begin_s", "end_s"),
    [(0.0, 90.0), (0.98, 1.0), (2.0, 3.0), (0.5, 0.5)],
    ids=["end after the audio", "short", "outside", "empty"],
)
def test_times_are_ordered_and_within_the_audio(begin_s: float, end_s: float) -> None:
    attention = make_attention([(0, 10), (10, 30), (30, 35)], n_positions=50)
    tokens = locate_tokens(attention, begin_s=begin_s, end_s=end_s)
    flat = [time for token in tokens for time in (token.start, token.end)]
    assert flat == sorted(flat)
    assert flat[0] >= 0.0
    assert flat[-1] <= 1.0


def test_attention_may_be_zero() -> None:
    weights = np.zeros((3, 20), np.float32)
    weights[:, 4] = 1.0
    attention = AlignmentOutput(weights=weights, probabilities=(1.0, 1.0))
    tokens = locate_tokens(attention, begin_s=0.0, end_s=0.4)
    assert all(token.start < token.end for token in tokens)


def reference_path(costs: Costs) -> list[int]:
    """The same path by a loop over all entries: each follows the one to its left, or left in the row above."""
    n_rows, n_columns = costs.shape
    total = np.full((n_rows, n_columns), np.inf)
    total[0, 0] = costs[0, 0]
    for row, column in itertools.product(range(n_rows), range(1, n_columns)):
        above = total[row - 1, column - 1] if row else np.inf
        total[row, column] = costs[row, column] + min(total[row, column - 1], above)
    row, column = n_rows - 1, n_columns - 1
    first = [0] * n_rows
    while row > 0:
        if total[row - 1, column - 1] < total[row, column - 1]:
            first[row] = column
            row -= 1
        column -= 1
    return first


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (2, 2), (3, 11), (12, 12), (25, 80), (40, 200)])
def test_the_path_equals_that_of_a_loop_over_all_entries(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(sum(shape))
    for _ in range(20):
        costs = random.standard_normal(shape)
        assert dtw_first_columns(costs).tolist() == reference_path(costs)


def test_the_path_follows_entries_that_cost_nothing() -> None:
    costs = np.ones((4, 10))
    for row, columns in enumerate([(0, 1, 2), (3,), (4, 5, 6, 7), (8, 9)]):
        costs[row, list(columns)] = 0.0
    assert dtw_first_columns(costs).tolist() == [0, 3, 4, 8]


def test_every_row_has_a_column_whatever_it_costs() -> None:
    costs = np.array([[0.0, 0, 0, 0], [9, 9, 9, 9], [0, 0, 0, 0]])
    first = dtw_first_columns(costs)
    assert (np.diff(first) >= 1).all()


def test_more_rows_than_columns_share_them_evenly() -> None:
    assert dtw_first_columns(np.zeros((6, 3))).tolist() == [0, 0, 1, 1, 2, 2]
    assert dtw_first_columns(np.zeros((3, 1))).tolist() == [0, 0, 0]
