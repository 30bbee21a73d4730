"""Dynamic time warping over a text's attention to its window: finds the time of each token.

After `find_alignment` in openai/whisper's `timing.py`, with three differences, and each measured better on
forced alignments for whisper-base and whisper-tiny.en: attention is averaged over more heads (see `aligner`); the
path maximises the logarithm of the attention, so no normalisation or filter is needed; and every token takes some
time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hf_asr_endpoint.units import TIME_PRECISION_S

MIN_ATTENTION = 1e-6  # added to every weight, so that its logarithm is finite


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentInput:
    """The text that was decoded from a window.

    prompt: sot [language, task] no_timestamps. tokens: text tokens, at least one, without timestamps.
    n_positions: the encoder positions, from the first one on, that hold audio; padding follows them.
    """

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    n_positions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentOutput:
    """What the decoder's pass over a text yields.

    weights: mean attention of the heads, float32, shape = (n_tokens + 1, n_positions): a row for the prediction of
    each text token, and last for the end of the text. Only positions that hold audio; each row sums to 1.
    probabilities: of each text token, among all text tokens.
    """

    weights: npt.NDArray[np.float32]
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedToken:
    """The time of a text token, in seconds from the window's beginning. peak: where attention is highest."""

    start: float
    end: float
    peak: float
    probability: float


def locate_tokens(attention: AlignmentOutput, *, begin_s: float, end_s: float) -> list[TimedToken]:
    """Return the times of a text's tokens, in order and without gaps, between two times in the window.

    They maximise the product of the attention over time.
    """
    n_positions = attention.weights.shape[1]
    begin = min(int(begin_s / TIME_PRECISION_S), n_positions - 1)
    end = min(max(-int(-end_s // TIME_PRECISION_S), begin + 1), n_positions)
    weights = attention.weights[:, begin:end]
    first = dtw_first_columns(-np.log(weights.astype(np.float64) + MIN_ATTENTION)).tolist()
    tokens = []
    for row, probability in enumerate(attention.probabilities):
        token_weights = weights[row, first[row] : max(first[row + 1], first[row] + 1)]
        tokens.append(
            TimedToken(
                start=(begin + first[row]) * TIME_PRECISION_S,
                end=(begin + first[row + 1]) * TIME_PRECISION_S,
                peak=(begin + first[row] + int(token_weights.argmax()) + 0.5) * TIME_PRECISION_S,
                probability=probability,
            )
        )
    return tokens


def dtw_first_columns(costs: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the first column of each row on the cheapest path, shape = (n_rows,).

    costs: shape = (n_rows, n_columns), not empty. A path leads from the first entry to the last one, visits every
    column once, in order, and has at least one column in each row; its cost is the sum of its entries. When there
    are more rows than columns, rows share columns evenly.

    Each row takes a few array operations instead of a loop over its columns: reaching column j after entering the
    row at column k costs `before[k] + sums[j] - sums[k - 1]`, so the best k is a running minimum.
    """
    n_rows, n_columns = costs.shape
    if n_rows > n_columns:
        return np.linspace(0, n_columns, n_rows, endpoint=False).astype(np.int64)
    columns = np.arange(n_columns)
    entered = np.zeros((n_rows, n_columns), np.int64)  # the row's first column on the cheapest path to an entry
    cost_to = np.cumsum(costs[0])  # of the cheapest path to each column of the row
    for row in range(1, n_rows):
        sums = np.cumsum(costs[row])
        before = np.concatenate([[np.inf], cost_to[:-1]]) - (sums - costs[row])
        cheapest = np.minimum.accumulate(before)
        is_cheaper = np.concatenate([[True], cheapest[1:] < cheapest[:-1]])
        entered[row] = np.maximum.accumulate(np.where(is_cheaper, columns, 0))
        cost_to = sums + cheapest
    return _trace_back(entered)


def _trace_back(entered: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Follow the path from the last entry to the first, a row at a time."""
    n_rows, n_columns = entered.shape
    first = np.zeros(n_rows, np.int64)
    column = n_columns - 1
    for row in range(n_rows - 1, 0, -1):
        first[row] = entered[row, column]
        column = first[row] - 1
    return first
