"""Arm with products of matrices of 8-bit integers (FEAT_I8MM): Graviton3 and 4, Axion, Grace, Apple M2 and later.

`smmla` multiplies two rows of 8 signed bytes with two columns of as many: 32 products an instruction, twice those
of `sdot`. Others measured 1.7 times its speed on a Neoverse V2, and the same on an Apple M3 (docs/kernels.md).

The four sums of two rows and two columns fill a register. So the tile of neon-dotprod, 6 × 16, takes 24 registers
here as well; of the other 8, three hold the words of all rows, and columns are loaded one after another.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hf_asr_endpoint.whisper.kernels.levels import neon_dotprod
from hf_asr_endpoint.whisper.kernels.simd import Simd


def _multiply_matrices(simd: Simd, accumulator: Any, rows: Any, columns: Any) -> Any:
    assembly = ".arch_extension i8mm\nsmmla $0.4s, $2.16b, $3.16b"
    return neon_dotprod.multiply_add(simd, assembly, accumulator, rows, columns)


ISA = replace(
    neon_dotprod.ISA,
    layout=replace(neon_dotprod.ISA.layout, level="neon-i8mm", rows_per_product=2),
    dot_bytes=_multiply_matrices,
    dot_bytes_of_unsigned_columns=_multiply_matrices,
)
