"""AVX2 and FMA, exact in integers: Intel since Haswell, AMD since Zen.

`vpmaddubsw`, the byte product of AVX2, saturates sums of two at 16 bits. So rows and columns are 16-bit integers,
whose pairs `vpmaddwd` multiplies and adds in 32 bits: the weight is stored in 8 bits and widened while it is
loaded. Of the 16 registers 12 hold a tile's accumulators, 2 hold columns, one a row's word and one its products.
"""

from __future__ import annotations

from typing import Any

import torch
from llvmlite import ir

from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.layout import Layout
from hf_asr_endpoint.whisper.kernels.levels.assembly import exp2_by_exponent_bits
from hf_asr_endpoint.whisper.kernels.simd import Simd


def _dot_pairs(simd: Simd, accumulator: Any, row: Any, columns: Any) -> Any:
    builder, pairs = simd.builder, simd.pair_vector
    multiply_add = builder.module.declare_intrinsic(
        "llvm.x86.avx2.pmadd.wd", fnty=ir.FunctionType(simd.int32_vector, [pairs, pairs])
    )
    products = builder.call(multiply_add, [builder.bitcast(row, pairs), builder.bitcast(columns, pairs)])
    return builder.add(accumulator, products)


ISA = Isa(
    n_lanes=8,
    n_registers=16,
    layout=Layout(
        level="avx2",
        tile_rows=6,
        tile_columns=16,
        multiplies="pairs",
        attends="pairs",
        activations=torch.float32,
    ),
    dot_pairs=_dot_pairs,
    exp2=exp2_by_exponent_bits,
)
