"""Softmax of a row of scores in vector registers, without its division: callers divide by the returned sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from hf_asr_endpoint.whisper.kernels.compile import compiled
from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.layout import MAX_INT16, MAX_INT32
from hf_asr_endpoint.whisper.kernels.scalar import minimum
from hf_asr_endpoint.whisper.kernels.simd import FloatVector, Simd

MASKED_SCORE = -1e30  # its weight is 0

_LOG2_E = 1.44269504


def make_exp_scores_to_bfloat16(isa: Isa) -> Any:
    """Return an intrinsic that writes exp(score - largest score) in bfloat16, and returns the sum, float32.

    It takes 64-bit integers: the addresses of scores, float32, and of weights, and the row's length in panels.
    """

    @intrinsic
    def exp_scores_to_bfloat16(typing: Any, scores: Any, weights: Any, n_panels: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            simd = Simd(isa, builder)
            scores, weights, n_panels = args

            def write(panel: Any, index: int, power: FloatVector) -> None:
                panel_at = simd.add_scaled(weights, panel, 2 * isa.layout.tile_columns)
                simd.store(simd.add_bytes(panel_at, _offset(isa, index) // 2), power.to_bfloat16())

            return _exp_scores(simd, scores, n_panels, write)

        return types.float32(*[types.int64] * 3), generate

    return exp_scores_to_bfloat16


def make_exp_scores_to_bytes(isa: Isa) -> Any:
    """Return an intrinsic that writes exp(score - largest score), times `Layout.max_weight`; it returns the sum.

    It takes 64-bit integers: the addresses of scores, float32, of the weights' upper bytes and of their lower
    bytes, unsigned or signed as the level multiplies them, and the row's length in panels. The sum is that of the
    exponentials before rounding, float32.
    """
    is_signed = isa.layout.zero_point == 0

    @intrinsic
    def exp_scores_to_bytes(typing: Any, scores: Any, upper: Any, lower: Any, n_panels: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            simd = Simd(isa, builder)
            scores, upper, lower, n_panels = args

            def write(panel: Any, index: int, power: FloatVector) -> None:
                rounded = (power * isa.layout.max_weight + 0.5).to_int32()
                # A signed lower byte stands for -128 to 127, so the upper one is that of the number plus 128.
                for_upper = builder.add(rounded, simd.int32s(128)) if is_signed else rounded
                for address, shifted in ((upper, builder.lshr(for_upper, simd.int32s(8))), (lower, rounded)):
                    panel_at = simd.add_scaled(address, panel, isa.layout.tile_columns)
                    stored_at = simd.add_bytes(panel_at, index * isa.n_lanes)
                    simd.store(stored_at, builder.trunc(shifted, simd.int8_vector))

            return _exp_scores(simd, scores, n_panels, write)

        return types.float32(*[types.int64] * 4), generate

    return exp_scores_to_bytes


def make_weigh_in_int16(isa: Isa, max_value: int) -> Any:
    """Return the function that turns a row of scores into 16-bit attention weights, and returns their scale.

    The weights are as large as 32-bit sums of products with numbers up to `max_value` allow. It takes 64-bit
    integers: the addresses of scores, float32, which are overwritten, and of weights, and the row's length in
    panels. The scale divides by the weights' sum: weights times values times scale is the mean.
    """
    exp_scores, round_to_int16 = make_exp_scores(isa), _make_round_to_int16(isa)
    columns_per_tile = isa.layout.tile_columns

    @compiled
    def weigh(scores_at, weights_at, n_panels):
        total = exp_scores(scores_at, n_panels)
        # Each weight may be rounded up by a half. A thousandth is left for the rounding of the total.
        max_sum = np.float32(MAX_INT32 // max_value - n_panels * columns_per_tile) * np.float32(0.999)
        factor = minimum(np.float32(MAX_INT16), max_sum / total)
        round_to_int16(scores_at, weights_at, factor, n_panels)
        return np.float32(1) / (factor * total)

    return weigh


def make_exp_scores(isa: Isa) -> Any:
    """Return an intrinsic that replaces scores, float32, by exp(score - largest score), and returns the sum.

    It takes 64-bit integers: the address of the scores, and the row's length in panels.
    """

    @intrinsic
    def exp_scores(typing: Any, scores: Any, n_panels: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            simd = Simd(isa, builder)
            scores, n_panels = args

            def write(panel: Any, index: int, power: FloatVector) -> None:
                panel_at = simd.add_scaled(scores, panel, 4 * isa.layout.tile_columns)
                simd.store(simd.add_bytes(panel_at, _offset(isa, index)), power.value)

            return _exp_scores(simd, scores, n_panels, write)

        return types.float32(*[types.int64] * 2), generate

    return exp_scores


def _make_round_to_int16(isa: Isa) -> Any:
    """Return an intrinsic that writes non-negative float32 times a factor as 16-bit integers.

    It takes the addresses of the numbers and of the result, int64, the factor, float32, and the length in panels.
    """

    @intrinsic
    def round_to_int16(typing: Any, numbers: Any, result: Any, factor: Any, n_panels: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            simd = Simd(isa, builder)
            numbers, result, factor, n_panels = args
            factors = simd.broadcast_float(factor)

            def write_panel(panel: Any) -> list[Any]:
                numbers_at = simd.add_scaled(numbers, panel, 4 * isa.layout.tile_columns)
                result_at = simd.add_scaled(result, panel, 2 * isa.layout.tile_columns)
                for index in range(isa.vectors_per_row):
                    loaded = simd.load_floats(simd.add_bytes(numbers_at, _offset(isa, index)))
                    rounded = builder.trunc((loaded * factors + 0.5).to_int32(), simd.int16_vector)
                    simd.store(simd.add_bytes(result_at, _offset(isa, index) // 2), rounded)
                return []

            simd.loop(n_panels, [], write_panel)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.float32, types.int64), generate

    return round_to_int16


def _exp_scores(simd: Simd, scores: Any, n_panels: Any, write: Callable[[Any, int, FloatVector], None]) -> Any:
    """Emit two passes over a row of scores: find the largest, then compute the exponentials; return their sum.

    write: emits what stores a vector of exponentials, given its panel and its index in the panel.
    """

    def load_scores(panel: Any, index: int) -> FloatVector:
        panel_at = simd.add_scaled(scores, panel, 4 * simd.isa.layout.tile_columns)
        return simd.load_floats(simd.add_bytes(panel_at, _offset(simd.isa, index)))

    def update_maxima(panel: Any, *maxima: Any) -> list[Any]:
        so_far = enumerate(_vectors(simd, maxima))
        return [load_scores(panel, index).maximum(lane_maxima).value for index, lane_maxima in so_far]

    def update_totals(panel: Any, *totals: Any) -> list[Any]:
        updated = []
        for index, total in enumerate(_vectors(simd, totals)):
            power = ((load_scores(panel, index) - largest) * _LOG2_E).exp2()
            write(panel, index, power)
            updated.append((total + power).value)
        return updated

    maxima = _vectors(simd, simd.loop(n_panels, _constants(simd, MASKED_SCORE), update_maxima))
    largest = simd.broadcast_float(reduce(FloatVector.maximum, maxima).reduce_max())
    totals = _vectors(simd, simd.loop(n_panels, _constants(simd, 0.0), update_totals))
    return reduce(FloatVector.__add__, totals).reduce_sum()


def _offset(isa: Isa, index: int) -> int:
    """Return the byte offset of a vector of float32 in its panel."""
    return index * 4 * isa.n_lanes


def _constants(simd: Simd, value: float) -> list[Any]:
    return [simd.floats(value)] * simd.isa.vectors_per_row


def _vectors(simd: Simd, values: Sequence[Any]) -> list[FloatVector]:
    return [simd.vector(value) for value in values]
