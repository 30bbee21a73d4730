"""Tiles of products that a matrix unit computes, as `tile` computes them in vector registers.

Sums go through memory, from the unit's registers to the vector registers of the epilogue: a few KB, which stay in
the core's first cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from hf_asr_endpoint.whisper.kernels.epilogue import ColumnWriter
from hf_asr_endpoint.whisper.kernels.isa import Isa, MatrixUnit
from hf_asr_endpoint.whisper.kernels.simd import INT64, Simd
from hf_asr_endpoint.whisper.kernels.tile import int8_tile_intrinsic


def make_prepare_thread(isa: Isa) -> Any:
    """Return an intrinsic without arguments: what a thread does before its first product."""
    return _make_thread_step(isa, lambda unit, simd: unit.prepare(simd))


def make_release_thread(isa: Isa) -> Any:
    """Return an intrinsic without arguments: what a thread does after its last product."""
    return _make_thread_step(isa, lambda unit, simd: unit.release(simd))


def _make_thread_step(isa: Isa, emit: Any) -> Any:
    @intrinsic
    def thread_step(typing: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            if isa.matrix_unit is not None:
                emit(isa.matrix_unit, Simd(isa, builder))
            return context.get_dummy_value()

        return types.void(), generate

    return thread_step


def make_bfloat16_matrix_tile(isa: Isa) -> Any:
    """Return an intrinsic that multiplies a tile of bfloat16. Its arguments are those of `make_float_tile`."""
    unit = _unit_of(isa)

    @intrinsic
    def bfloat16_tile(
        typing: Any, rows: Any, row_bytes: Any, columns: Any, n_words: Any, sums: Any, sums_bytes: Any
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            unit.multiply_bfloat16(Simd(isa, builder), args[:4], isa.layout.product_rows, *args[4:])
            return context.get_dummy_value()

        return types.void(*[types.int64] * 6), generate

    return bfloat16_tile


def make_int8_matrix_tile(isa: Isa, epilogue: int, *, n_rows: int, rows_per_activation: int) -> Any:
    """Return an intrinsic that multiplies a tile of quantized numbers. See `make_int8_tile`."""
    unit, sums_bytes = _unit_of(isa), 4 * isa.layout.tile_columns

    def emit(simd: Simd, args: Sequence[Any]) -> None:
        sums_at = simd.allocate(ir.ArrayType(simd.int32_vector, n_rows * isa.vectors_per_row))
        unit.multiply_bytes(simd, args[:4], n_rows, sums_at, ir.Constant(INT64, sums_bytes))
        writers = [ColumnWriter(simd, epilogue, args[4:], index) for index in range(isa.vectors_per_row)]

        def write_row(row: Any) -> list[Any]:
            row_at = simd.add_scaled(sums_at, row, rows_per_activation * sums_bytes)
            for index, write in enumerate(writers):
                first_at = simd.add_bytes(row_at, index * 4 * isa.n_lanes)
                by_byte = (simd.add_bytes(first_at, n * sums_bytes) for n in range(rows_per_activation))
                write(row, [simd.load(address, simd.int32_vector) for address in by_byte])
            return []

        simd.loop(ir.Constant(INT64, n_rows // rows_per_activation), [], write_row)

    return int8_tile_intrinsic(isa, emit)


def _unit_of(isa: Isa) -> MatrixUnit:
    assert isa.matrix_unit is not None
    return isa.matrix_unit
