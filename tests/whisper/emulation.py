"""Levels whose instructions this processor may lack, with operations of LLVM in the place of assembly.

Layouts, loops and epilogues are the level's own, so its kernels can be tested on another processor. The
instructions themselves are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from llvmlite import ir

from hf_asr_endpoint.whisper.kernels.isa import DotProduct, Isa, MatrixUnit
from hf_asr_endpoint.whisper.kernels.levels import load_isa
from hf_asr_endpoint.whisper.kernels.levels.assembly import exp2_by_exponent_bits
from hf_asr_endpoint.whisper.kernels.processor import Level
from hf_asr_endpoint.whisper.kernels.simd import INT8, INT16, INT32, INT64, FloatVector, Simd
from hf_asr_endpoint.whisper.kernels.tile import accumulate_tile

EMULATED: tuple[Level, ...] = ("amx", "avx512-bf16", "avx512-vnni", "avx-vnni", "neon-i8mm", "neon-dotprod")


def emulated(level: Level) -> Isa:
    """Return a level of EMULATED without its instructions."""
    isa = load_isa(level)
    if level.startswith("neon"):
        dot_bytes = _multiply_matrices if isa.layout.rows_per_product == 2 else _dot_signed_bytes
        return replace(
            isa,
            broadcasts_words=True,
            dot_bytes=dot_bytes,
            dot_bytes_of_unsigned_columns=dot_bytes,
            dot_float32=_dot_float32,
        )
    return replace(
        isa,
        dot_bytes=isa.dot_bytes and _dot_bytes,
        dot_bytes_of_unsigned_columns=isa.dot_bytes_of_unsigned_columns and _dot_bytes_of_unsigned_columns,
        dot_pairs=isa.dot_pairs and _dot_pairs,
        dot_bfloat16=isa.dot_bfloat16 and _dot_bfloat16,
        exp2=exp2_by_exponent_bits,
        to_bfloat16=isa.to_bfloat16 and _to_bfloat16,
        matrix_unit=isa.matrix_unit and _IN_VECTOR_REGISTERS,
    )


def _dot_bytes(simd: Simd, accumulator: Any, row: Any, columns: Any) -> Any:
    return _add_products(simd, accumulator, _widened(simd, row, INT8), _widened(simd, columns, INT8, signed=True))


def _dot_bytes_of_unsigned_columns(simd: Simd, accumulator: Any, row: Any, columns: Any) -> Any:
    return _dot_bytes(simd, accumulator, columns, row)


def _dot_signed_bytes(simd: Simd, accumulator: Any, row: Any, columns: Any) -> Any:
    operands = (_widened(simd, words, INT8, signed=True) for words in (row, columns))
    return _add_products(simd, accumulator, *operands)


def _multiply_matrices(simd: Simd, accumulator: Any, rows: Any, columns: Any) -> Any:
    """Copy the words so that each lane has half of those that it multiplies; the halves' products are added."""
    for half in range(2):
        of_rows, of_columns = ([2 * n + half for n in order] for order in ([0, 0, 1, 1], [0, 1, 0, 1]))
        accumulator = _dot_signed_bytes(
            simd, accumulator, _reordered(simd, rows, of_rows), _reordered(simd, columns, of_columns)
        )
    return accumulator


def _reordered(simd: Simd, words: Any, order: Sequence[int]) -> Any:
    return simd.builder.shuffle_vector(words, words, ir.Constant(simd.int32_vector, order))


def _dot_float32(simd: Simd, accumulator: Any, row: Any, columns: Any) -> Any:
    one, other = (simd.vector(simd.builder.bitcast(words, simd.float_vector)) for words in (row, columns))
    return (simd.vector(accumulator) + one * other).value


def _dot_pairs(simd: Simd, accumulator: Any, row: Any, columns: Any) -> Any:
    operands = (_widened(simd, operand, INT16, signed=True) for operand in (row, columns))
    return _add_products(simd, accumulator, *operands)


def _dot_bfloat16(simd: Simd, accumulator: Any, row: Any, columns: Any) -> Any:
    builder, total = simd.builder, simd.vector(accumulator)
    upper = simd.int32s(-(2**16))
    for to_bits in (lambda word: builder.shl(word, simd.int32s(16)), lambda word: builder.and_(word, upper)):
        one, other = (simd.vector(builder.bitcast(to_bits(word), simd.float_vector)) for word in (row, columns))
        total = total + one * other
    return total.value


def _multiply_rows(
    simd: Simd, args: Sequence[Any], n_rows: int, sums: Any, sums_bytes: Any, *, dot: DotProduct, in_floats: bool
) -> None:
    """Multiply one row after another."""
    rows, row_bytes, columns, n_words = args
    builder = simd.builder

    def multiply_row(row: Any) -> list[Any]:
        row_at = builder.add(rows, builder.mul(row_bytes, row))
        totals = accumulate_tile(
            simd, dot, (row_at, row_bytes, columns, n_words), n_rows=1,
            accumulator=simd.float_vector if in_floats else simd.int32_vector,
        )  # fmt: skip
        sums_at = builder.add(sums, builder.mul(sums_bytes, row))
        for (_, index), total in totals.items():
            simd.store(simd.add_bytes(sums_at, index * 4 * simd.isa.n_lanes), total)
        return []

    simd.loop(ir.Constant(INT64, n_rows), [], multiply_row)


_IN_VECTOR_REGISTERS = MatrixUnit(
    prepare=lambda simd: None,
    release=lambda simd: None,
    multiply_bytes=partial(_multiply_rows, dot=_dot_bytes, in_floats=False),
    multiply_bfloat16=partial(_multiply_rows, dot=_dot_bfloat16, in_floats=True),
)


def _to_bfloat16(x: FloatVector) -> Any:
    simd = x.simd
    builder, bits = simd.builder, x.bits()
    is_odd = builder.and_(builder.lshr(bits, simd.int32s(16)), simd.int32s(1))
    rounded = builder.add(bits, builder.add(is_odd, simd.int32s(0x7FFF)))
    return builder.trunc(builder.lshr(rounded, simd.int32s(16)), simd.int16_vector)


def _widened(simd: Simd, words: Any, element: Any, *, signed: bool = False) -> Any:
    """Convert the elements of words to 32-bit integers."""
    n_elements = simd.isa.n_lanes * 32 // element.width
    elements = simd.builder.bitcast(words, ir.VectorType(element, n_elements))
    wide = ir.VectorType(INT32, n_elements)
    return simd.builder.sext(elements, wide) if signed else simd.builder.zext(elements, wide)


def _add_products(simd: Simd, accumulator: Any, one: Any, other: Any) -> Any:
    """Add to each lane the products of its elements."""
    products = simd.builder.mul(one, other)
    per_lane = products.type.count // simd.isa.n_lanes
    for first in range(per_lane):
        order = [lane * per_lane + first for lane in range(simd.isa.n_lanes)]
        accumulator = simd.builder.add(accumulator, _reordered(simd, products, order))
    return accumulator
