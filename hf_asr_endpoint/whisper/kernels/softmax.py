"""Softmax of a row of scores in vector registers, without its division: callers divide by the returned sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from hf_asr_endpoint.whisper.kernels.layout import TILE_COLUMNS
from hf_asr_endpoint.whisper.kernels.simd import (
    FLOAT_VECTOR,
    INT8_VECTOR,
    N_LANES,
    FloatVector,
    add_bytes,
    add_scaled,
    broadcast_float,
    broadcast_int32,
    emit_loop,
    load_floats,
    store,
)
from hf_asr_endpoint.whisper.kernels.tile import VECTORS_PER_ROW

MASKED_SCORE = -1e30  # its weight is 0
MAX_WEIGHT = 65_535  # the largest weight in 16 bits, which stands for 1

_LOG2_E = 1.44269504


@intrinsic
def exp_scores_to_bfloat16(typing: Any, scores: Any, weights: Any, n_panels: Any) -> Any:
    """Write exp(score - largest score) in bfloat16; return the sum, float32.

    Takes 64-bit integers: the addresses of scores, float32, and of weights, and the row's length in units of
    TILE_COLUMNS.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scores, weights, n_panels = args

        def write(panel: Any, index: int, power: FloatVector) -> None:
            panel_at = add_scaled(builder, weights, panel, 2 * TILE_COLUMNS)
            store(builder, add_bytes(builder, panel_at, _offset(index) // 2), power.to_bfloat16())

        return _exp_scores(builder, scores, n_panels, write)

    return types.float32(*[types.int64] * 3), generate


@intrinsic
def exp_scores_to_int16(typing: Any, scores: Any, upper: Any, lower: Any, n_panels: Any) -> Any:
    """Write exp(score - largest score) in units of 1 / MAX_WEIGHT; return the sum before rounding, float32.

    Takes 64-bit integers: the addresses of scores, float32, of the weights' upper bytes and of their lower bytes,
    all unsigned, and the row's length in units of TILE_COLUMNS.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scores, upper, lower, n_panels = args

        def write(panel: Any, index: int, power: FloatVector) -> None:
            rounded = (power * MAX_WEIGHT + 0.5).to_int32()
            for address, shifted in ((upper, builder.lshr(rounded, broadcast_int32(8))), (lower, rounded)):
                panel_at = add_scaled(builder, address, panel, TILE_COLUMNS)
                store(builder, add_bytes(builder, panel_at, index * N_LANES), builder.trunc(shifted, INT8_VECTOR))

        return _exp_scores(builder, scores, n_panels, write)

    return types.float32(*[types.int64] * 4), generate


def _exp_scores(builder: Any, scores: Any, n_panels: Any, write: Callable[[Any, int, FloatVector], None]) -> Any:
    """Emit two passes over a row of scores: find the largest, then compute the exponentials; return their sum.

    write: emits what stores a vector of exponentials, given its panel and its index in the panel.
    """

    def load_scores(panel: Any, index: int) -> FloatVector:
        panel_at = add_scaled(builder, scores, panel, 4 * TILE_COLUMNS)
        return load_floats(builder, add_bytes(builder, panel_at, _offset(index)))

    def update_maxima(panel: Any, *maxima: Any) -> list[Any]:
        so_far = enumerate(_vectors(builder, maxima))
        return [load_scores(panel, index).maximum(lane_maxima).value for index, lane_maxima in so_far]

    def update_totals(panel: Any, *totals: Any) -> list[Any]:
        updated = []
        for index, total in enumerate(_vectors(builder, totals)):
            power = ((load_scores(panel, index) - largest) * _LOG2_E).exp2()
            write(panel, index, power)
            updated.append((total + power).value)
        return updated

    maxima = _vectors(builder, emit_loop(builder, n_panels, _constants(MASKED_SCORE), update_maxima))
    largest = broadcast_float(builder, reduce(FloatVector.maximum, maxima).reduce_max())
    totals = _vectors(builder, emit_loop(builder, n_panels, _constants(0.0), update_totals))
    return reduce(FloatVector.__add__, totals).reduce_sum()


def _offset(index: int) -> int:
    """Return the byte offset of a vector of float32 in its panel."""
    return index * 4 * N_LANES


def _constants(value: float) -> list[Any]:
    return [ir.Constant(FLOAT_VECTOR, [value] * N_LANES)] * VECTORS_PER_ROW


def _vectors(builder: Any, values: Sequence[Any]) -> list[FloatVector]:
    return [FloatVector(builder, value) for value in values]
