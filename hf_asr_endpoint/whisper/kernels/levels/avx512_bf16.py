"""AVX-512 with dot products of 8-bit integers (VNNI) and of bfloat16 (BF16): Zen 4 and later, Sapphire Rapids.

Of the 32 registers 24 hold a tile's accumulators, 4 hold columns and one holds a row's word.
"""

from __future__ import annotations

from typing import Any

import torch

from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.layout import ZERO_POINT, Layout
from hf_asr_endpoint.whisper.kernels.levels.assembly import (
    dot_bytes,
    dot_bytes_of_unsigned_columns,
    dot_pairs,
    dot_product,
    exp2_by_scaling,
)
from hf_asr_endpoint.whisper.kernels.simd import FloatVector, Simd


def _dot_bfloat16(simd: Simd, accumulator: Any, row: Any, columns: Any) -> Any:
    return dot_product(simd, "vdpbf16ps $3, $2, $0", accumulator, row, columns)


def _to_bfloat16(x: FloatVector) -> Any:
    return x.instruction("vcvtneps2bf16 $1, $0", x.simd.int16_vector, x).value


ISA = Isa(
    n_lanes=16,
    n_registers=32,
    layout=Layout(
        level="avx512-bf16",
        tile_rows=6,
        tile_columns=64,
        multiplies="bytes",
        zero_point=ZERO_POINT,
        attends="bfloat16",
        activations=torch.bfloat16,
    ),
    dot_bytes=dot_bytes,
    dot_bytes_of_unsigned_columns=dot_bytes_of_unsigned_columns,
    dot_pairs=dot_pairs,
    dot_bfloat16=_dot_bfloat16,
    exp2=exp2_by_scaling,
    to_bfloat16=_to_bfloat16,
)
