"""The cheapest path, against a plain loop over all entries."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from hf_asr_endpoint.whisper.alignment.timing import first_columns

Costs = npt.NDArray[np.float64]


def by_loop(costs: Costs) -> list[int]:
    """The same path, entry by entry: each comes from the left, or from the left in the row above."""
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
def test_the_path_is_that_of_a_plain_loop(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(sum(shape))
    for _ in range(20):
        costs = random.standard_normal(shape)
        assert first_columns(costs).tolist() == by_loop(costs)


def test_a_path_that_is_drawn_is_found() -> None:
    costs = np.ones((4, 10))
    for row, columns in enumerate([(0, 1, 2), (3,), (4, 5, 6, 7), (8, 9)]):
        costs[row, list(columns)] = 0.0
    assert first_columns(costs).tolist() == [0, 3, 4, 8]


def test_every_row_has_a_column_even_if_it_costs() -> None:
    costs = np.array([[0.0, 0, 0, 0], [9, 9, 9, 9], [0, 0, 0, 0]])
    first = first_columns(costs)
    assert (np.diff(first) >= 1).all()


def test_more_rows_than_columns_share_them_evenly() -> None:
    assert first_columns(np.zeros((6, 3))).tolist() == [0, 0, 1, 1, 2, 2]
    assert first_columns(np.zeros((3, 1))).tolist() == [0, 0, 0]
