"""A text's attention to the window it was heard in, and where in time that puts each of its tokens.

After `find_alignment` in openai/whisper's `timing.py`, with three differences, each of which measured better
on forced alignments for whisper-base and whisper-tiny.en: attention is averaged over more heads (see
`aligner.py`), its logarithm is what the path maximises, so that no standardising or filtering is needed, and
every token takes some time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hf_asr_endpoint.units import TIME_PRECISION_S


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentInput:
    """Text that was heard in a window.

    prompt: sot [language, task] no_timestamps. tokens: text tokens, at least one, without timestamps.
    n_positions: encoder positions, from the first one on, that hold audio; padding follows them.
    """

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    n_positions: int


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


MIN_ATTENTION = 1e-6  # a weight's share that counts as none: its logarithm is finite


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentOutput:
    """What the decoder's pass over a known text leaves.

    weights: mean attention of the heads, float32, shape = (n_tokens + 1, n_positions): what was attended to for
    each text token to come, and last for the end. Only positions that hold audio; each row sums to 1.
    probabilities: of each text token, among all text tokens that could have come.
    """

    weights: npt.NDArray[np.float32]
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedToken:
    """Where a text token is, in seconds from the window's beginning. peak: where most of the attention was."""

    start: float
    end: float
    peak: float
    probability: float


def locate_tokens(attention: AlignmentOutput, *, begin_s: float, end_s: float) -> list[TimedToken]:
    """Find the text's tokens, in order and without gaps, between two times in the window.

    By dynamic time warping: what is maximised is the product of the attention over time.
    """
    n_positions = attention.weights.shape[1]
    begin = min(int(begin_s / TIME_PRECISION_S), n_positions - 1)
    end = min(max(-int(-end_s // TIME_PRECISION_S), begin + 1), n_positions)
    weights = attention.weights[:, begin:end]
    first = first_columns(-np.log(weights.astype(np.float64) + MIN_ATTENTION)).tolist()
    tokens = []
    for row, probability in enumerate(attention.probabilities):
        own = weights[row, first[row] : max(first[row + 1], first[row] + 1)]
        tokens.append(
            TimedToken(
                start=(begin + first[row]) * TIME_PRECISION_S,
                end=(begin + first[row + 1]) * TIME_PRECISION_S,
                peak=(begin + first[row] + int(own.argmax()) + 0.5) * TIME_PRECISION_S,
                probability=probability,
            )
        )
    return tokens
