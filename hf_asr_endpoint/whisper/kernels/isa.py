"""What a kernel's code depends on: the registers and instructions of a level of processors. Imports no numba."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hf_asr_endpoint.whisper.kernels.layout import Layout

DotProduct = Callable[[Any, Any, Any, Any], Any]
"""Emits a dot-product instruction: given a `Simd`, an accumulator, a word of a row (see `Isa`, `broadcasts_words`)
and a vector of columns' words, multiplies the words' elements in each lane and returns the accumulator plus these
products. Of bytes, with `Layout.rows_per_product` 2: given a word of each of two rows, and of two columns, returns
the accumulator plus the four sums, those of the first row first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixUnit:
    """Emits the instructions of a unit that multiplies matrices in registers of its own.

    prepare, release: given a `Simd`, what a thread does before its first product and after its last one.
    multiply_bytes, multiply_bfloat16: given a `Simd`, the operands of `accumulate_tile`, UNIT_WORDS times a whole
    number of words, the rows, and the address of the sums: stores these, int32 or float32, shape = (rows,
    tile_columns), at the bytes from one row to the next that come last.
    """

    prepare: Callable[[Any], None]
    release: Callable[[Any], None]
    multiply_bytes: Callable[..., None]
    multiply_bfloat16: Callable[..., None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Isa:
    """One level: everything that the emitters of kernels ask about the processor.

    n_lanes, n_registers: 32-bit words of a vector register, and how many of these there are.
    layout: how operands lie in memory, and the tile's shape.
    broadcasts_words: whether dot products take a row's word from all lanes of a vector; else from the first one.
    dot_bytes: of four 8-bit integers of rows with four of columns; None: the level has none. Columns are signed.
    Rows are unsigned if the layout has a zero point, else signed.
    dot_bytes_of_unsigned_columns: the same for signed rows, and for columns that are unsigned if the layout has a
    zero point.
    dot_pairs: of two signed 16-bit integers; None: the level's kernels do without. A level that multiplies bytes
    takes zero points away by it, see `zero_points`.
    dot_bfloat16: of two bfloat16, summed in float32; None: the level has none.
    dot_float32: of one float32; None: the level's kernels do not use it.
    exp2: of a `FloatVector`, 2 to its power, from -126 to 127, with a relative error below 1e-4.
    matrix_unit: computes int8_gemm and the encoder's attention; None: the level has none.
    to_bfloat16: of a `FloatVector`, the bits of bfloat16, rounded to the nearest, ties to even; None: no kernel of
    the level needs it.
    """

    n_lanes: int
    n_registers: int
    layout: Layout
    broadcasts_words: bool = True
    dot_bytes: DotProduct | None = None
    dot_bytes_of_unsigned_columns: DotProduct | None = None
    dot_pairs: DotProduct | None = None
    dot_bfloat16: DotProduct | None = None
    dot_float32: DotProduct | None = None
    matrix_unit: MatrixUnit | None = None
    exp2: Callable[[Any], Any]
    to_bfloat16: Callable[[Any], Any] | None = None

    @property
    def vectors_per_row(self) -> int:
        """Vectors that hold a row of a tile."""
        return self.layout.tile_columns // self.n_lanes
