"""AVX2 with dot products of 8-bit integers (AVX-VNNI): Intel since Alder Lake, AMD since Zen 5.

The instructions are AVX-512's in the shorter encoding of 256-bit registers, which the assembler is told to use. Of
the 16 registers 12 hold a tile's accumulators, 2 hold columns and one a row's word.
"""

from __future__ import annotations

from typing import Any

import torch

from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.layout import ZERO_POINT, Layout
from hf_asr_endpoint.whisper.kernels.levels.assembly import dot_product, exp2_by_exponent_bits
from hf_asr_endpoint.whisper.kernels.simd import Simd


def _dot_bytes(simd: Simd, accumulator: Any, row: Any, columns: Any) -> Any:
    return dot_product(simd, "{vex} vpdpbusd $3, $2, $0", accumulator, row, columns, registers="x")


def _dot_bytes_of_unsigned_columns(simd: Simd, accumulator: Any, row: Any, columns: Any) -> Any:
    return dot_product(simd, "{vex} vpdpbusd $2, $3, $0", accumulator, row, columns, registers="x")


def _dot_pairs(simd: Simd, accumulator: Any, row: Any, columns: Any) -> Any:
    return dot_product(simd, "{vex} vpdpwssd $3, $2, $0", accumulator, row, columns, registers="x")


ISA = Isa(
    n_lanes=8,
    n_registers=16,
    layout=Layout(
        level="avx-vnni",
        tile_rows=6,
        tile_columns=16,
        multiplies="bytes",
        zero_point=ZERO_POINT,
        attends="pairs",
        activations=torch.float32,
    ),
    dot_bytes=_dot_bytes,
    dot_bytes_of_unsigned_columns=_dot_bytes_of_unsigned_columns,
    dot_pairs=_dot_pairs,
    exp2=exp2_by_exponent_bits,
)
