"""A row of scores to weights, in the processor's vectors. Whoever uses them divides by their sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from hf_asr_endpoint.whisper.kernels.layout import N_COLUMNS
from hf_asr_endpoint.whisper.kernels.simd import (
    BYTES,
    FLOATS,
    N_LANES,
    FloatVector,
    advanced,
    everywhere,
    load_floats,
    moved,
    repeat,
    store,
    words,
)
from hf_asr_endpoint.whisper.kernels.tile import PARTS

NO_SCORE = -1e30  # its weight is 0
MAX_WEIGHT = 65_535  # in bytes: two of them

_LOG2_E = 1.44269504


@intrinsic
def softmax_to_bfloat16(typing: Any, scores: Any, weights: Any, n_panels: Any) -> Any:
    """Write powers of e, of which the largest is 1, in bfloat16; return their sum, float32.

    Given are addresses, of scores, float32, and of weights, and how many times N_COLUMNS there are.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scores, weights, n_panels = args

        def write(panel: Any, part: int, power: FloatVector) -> None:
            first = moved(builder, weights, panel, 2 * N_COLUMNS)
            store(builder, advanced(builder, first, _bytes(part) // 2), power.narrowed())

        return _exponentiate(builder, scores, n_panels, write)

    return types.float32(*[types.int64] * 3), generate


@intrinsic
def softmax_to_bytes(typing: Any, scores: Any, upper: Any, lower: Any, n_panels: Any) -> Any:
    """Write powers of e, of which the largest is 1, in units of 1 / MAX_WEIGHT; return their sum, float32.

    Given are addresses, of scores, float32, of the upper and of the lower bytes, unsigned, and how many times
    N_COLUMNS there are.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scores, upper, lower, n_panels = args

        def write(panel: Any, part: int, power: FloatVector) -> None:
            units = (power * MAX_WEIGHT + 0.5).whole()
            for address, of_units in ((upper, builder.lshr(units, words(8))), (lower, units)):
                first = moved(builder, address, panel, N_COLUMNS)
                store(builder, advanced(builder, first, part * N_LANES), builder.trunc(of_units, BYTES))

        return _exponentiate(builder, scores, n_panels, write)

    return types.float32(*[types.int64] * 4), generate


def _exponentiate(builder: Any, scores: Any, n_panels: Any, write: Callable[[Any, int, FloatVector], None]) -> Any:
    """Emit what computes powers of e of a row's scores; return their sum.

    write: emits what writes powers, given the panel and the part of it.
    """

    def scores_of(panel: Any, part: int) -> FloatVector:
        first = moved(builder, scores, panel, 4 * N_COLUMNS)
        return load_floats(builder, advanced(builder, first, _bytes(part)))

    def find_largest(panel: Any, *largest: Any) -> list[Any]:
        found = enumerate(_lanes(builder, largest))
        return [scores_of(panel, part).larger(of_part).value for part, of_part in found]

    def exponentiate(panel: Any, *totals: Any) -> list[Any]:
        following = []
        for part, total in enumerate(_lanes(builder, totals)):
            power = ((scores_of(panel, part) - most) * _LOG2_E).power_of_2()
            write(panel, part, power)
            following.append((total + power).value)
        return following

    largest = _lanes(builder, repeat(builder, n_panels, _everywhere(NO_SCORE), find_largest))
    most = everywhere(builder, reduce(FloatVector.larger, largest).largest())
    totals = _lanes(builder, repeat(builder, n_panels, _everywhere(0.0), exponentiate))
    return reduce(FloatVector.__add__, totals).total()


def _bytes(part: int) -> int:
    return part * 4 * N_LANES


def _everywhere(value: float) -> list[Any]:
    return [ir.Constant(FLOATS, [value] * N_LANES)] * PARTS


def _lanes(builder: Any, values: Sequence[Any]) -> list[FloatVector]:
    return [FloatVector(builder, value) for value in values]
