"""What turns the sums of a product of integers into activations, while they are in registers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from hf_asr_endpoint.whisper.kernels.layout import BIAS, BIAS_ADD, BIAS_GELU, ROW_PARAMETERS_BYTES
from hf_asr_endpoint.whisper.kernels.simd import FLOAT, INT32, FloatVector, Simd
from hf_asr_endpoint.whisper.kernels.zero_points import take_zero_point

MIN_GELU_EXPONENT = -100.0  # Powers of 2 below -126 are subnormal, and cost some hundred cycles each.


class ColumnWriter:
    """Emits the last steps of a tile's vectors of the same columns, one for each row."""

    def __init__(self, simd: Simd, epilogue: int, args: Sequence[Any], index: int) -> None:
        """Emit the loads of the columns' parameters. args: the last five of `make_int8_tile`. index: of the vector
        in its row.
        """
        column_parameters, self._row_parameters, self._residual, self._result, self._result_bytes = args
        self._simd, self._epilogue, layout = simd, epilogue, simd.isa.layout
        self._offset = index * layout.activations.itemsize * simd.isa.n_lanes
        weights_at, scale_at, bias_at = (
            simd.add_bytes(column_parameters, 4 * (n * layout.tile_columns + index * simd.isa.n_lanes))
            for n in range(3)
        )
        has_zero_points = layout.multiplies == "bytes"
        self._weights = simd.load(weights_at, simd.int32_vector) if has_zero_points else None
        self._scale, self._bias = simd.load_floats(scale_at), simd.load_floats(bias_at)

    def __call__(self, row: Any, sums: Sequence[Any]) -> None:
        """Emit what dequantizes and writes a vector. row: of activations, int64. sums: those of the row's bytes,
        the upper ones first.
        """
        simd, builder = self._simd, self._simd.builder
        scale_at = simd.add_scaled(self._row_parameters, row, ROW_PARAMETERS_BYTES)
        # Both bytes of an activation have the layout's zero point, which may be 0.
        if self._weights is not None and (len(sums) == 1 or simd.isa.layout.zero_point != 0):
            zero_point_at = simd.add_bytes(scale_at, 4)
            zero_point = simd.load_broadcast(zero_point_at, INT32, simd.int32_vector)
            sums = [take_zero_point(simd, total, zero_point, self._weights) for total in sums]
        by_byte = [simd.to_floats(total) for total in sums]
        combined = reduce(lambda upper, lower: upper * 256.0 + lower, by_byte)
        row_scale = simd.vector(simd.load_broadcast(scale_at, FLOAT, simd.float_vector))
        value = combined * row_scale * self._scale + self._bias
        offset = simd.add_bytes(builder.mul(self._result_bytes, row), self._offset)
        if self._epilogue == BIAS_ADD:
            value = value + simd.load_activations(builder.add(self._residual, offset))
        elif self._epilogue == BIAS_GELU:
            value = _gelu(value)
        else:
            assert self._epilogue == BIAS
        simd.store_activations(builder.add(self._result, offset), value)


def _gelu(x: FloatVector) -> FloatVector:
    """Return x times the normal distribution function, erf by Abramowitz and Stegun, 7.1.26.

    The error exceeds bfloat16's rounding only for x below -5, where the result is smaller than 1e-5.
    """
    magnitude = abs(x) * 0.70710678
    t = 1.0 / (magnitude * 0.3275911 + 1.0)
    series = (((t * 1.061405429 - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592
    exponent = (magnitude * magnitude * -1.44269504).maximum(x.with_value(x.simd.floats(MIN_GELU_EXPONENT)))
    power = exponent.exp2()
    tail = x * 0.5 * series * t * power
    return x.where_negative(tail, x - tail)
