"""Dynamic time warping: which columns of a matrix belong to which row, when neither goes back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def first_columns(costs: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the first column of each row on the cheapest path, shape = (n_rows,).

    costs: shape = (n_rows, n_columns), neither of them 0. The path leads from the first entry to the last one,
    takes every column once, in order, and has at least one column in each row; it costs the sum of its
    entries. Where there are more rows than columns, rows share columns evenly.

    A row takes a few operations on whole rows instead of a loop over its columns: to reach column j, having
    entered the row at column k, costs `before[k] + sums[j] - sums[k - 1]`, so the best k is a running minimum.
    """
    n_rows, n_columns = costs.shape
    if n_rows > n_columns:
        return np.linspace(0, n_columns, n_rows, endpoint=False).astype(np.int64)
    columns = np.arange(n_columns)
    entered = np.zeros((n_rows, n_columns), np.int64)  # by row and column reached: the row's first column
    reached = np.cumsum(costs[0])  # what the cheapest way to each column costs
    for row in range(1, n_rows):
        sums = np.cumsum(costs[row])
        before = np.concatenate([[np.inf], reached[:-1]]) - (sums - costs[row])
        cheapest = np.minimum.accumulate(before)
        is_cheaper = np.concatenate([[True], cheapest[1:] < cheapest[:-1]])
        entered[row] = np.maximum.accumulate(np.where(is_cheaper, columns, 0))
        reached = sums + cheapest
    return _trace(entered)


def _trace(entered: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Follow the path from the last entry back, a row at a time."""
    n_rows, n_columns = entered.shape
    first = np.zeros(n_rows, np.int64)
    column = n_columns - 1
    for row in range(n_rows - 1, 0, -1):
        first[row] = entered[row, column]
        column = first[row] - 1
    return first
