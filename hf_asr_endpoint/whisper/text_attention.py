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
from hf_asr_endpoint.whisper.dtw import first_columns

LEAST_WEIGHT = 1e-6  # a weight's share that counts as none: its logarithm is finite


@dataclass(frozen=True, slots=True, kw_only=True)
class TextAttention:
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


def locate(attention: TextAttention, *, begin_s: float, end_s: float) -> list[TimedToken]:
    """Find the text's tokens, in order and without gaps, between two times in the window.

    By dynamic time warping: what is maximised is the product of the attention over time.
    """
    n_positions = attention.weights.shape[1]
    begin = min(int(begin_s / TIME_PRECISION_S), n_positions - 1)
    end = min(max(-int(-end_s // TIME_PRECISION_S), begin + 1), n_positions)
    weights = attention.weights[:, begin:end]
    first = first_columns(-np.log(weights.astype(np.float64) + LEAST_WEIGHT)).tolist()
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
