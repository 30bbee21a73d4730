"""Arm with dot products of 8-bit integers (FEAT_DotProd): Neoverse N1, Cortex-A76, Apple M1 and later.

`sdot` multiplies signed bytes with signed ones, so two bytes of an activation need no zero point. Instructions
take a row's word from one lane of a register, which saves copying it to all lanes. Of the 32 registers 24 hold a
tile's accumulators, 4 hold columns and one holds a row's word.

The encoder's attention runs in float32: `smlal`, the product of 16-bit integers, makes as many products as `fmla`,
and a Neoverse N1 issues one a cycle of it but two of `fmla` (LLVM's AArch64SchedNeoverseN1.td).
"""

from __future__ import annotations

from typing import Any

import torch
from llvmlite import ir

from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.layout import Layout
from hf_asr_endpoint.whisper.kernels.levels.assembly import exp2_by_exponent_bits
from hf_asr_endpoint.whisper.kernels.simd import Simd


def multiply_add(simd: Simd, assembly: str, accumulator: Any, row: Any, columns: Any) -> Any:
    """Emit a three-operand instruction: $0 is the accumulator, $2 has the row's word, $3 the columns' words."""
    function = ir.FunctionType(accumulator.type, [accumulator.type, simd.int32_vector, simd.int32_vector])
    return simd.builder.asm(function, assembly, "=w,0,w,w", [accumulator, row, columns], False)


def _dot_bytes(simd: Simd, accumulator: Any, row: Any, columns: Any) -> Any:
    return multiply_add(simd, ".arch_extension dotprod\nsdot $0.4s, $3.16b, $2.4b[0]", accumulator, row, columns)


def _dot_float32(simd: Simd, accumulator: Any, row: Any, columns: Any) -> Any:
    return multiply_add(simd, "fmla $0.4s, $3.4s, $2.s[0]", accumulator, row, columns)


ISA = Isa(
    n_lanes=4,
    n_registers=32,
    layout=Layout(
        level="neon-dotprod",
        tile_rows=6,
        tile_columns=16,
        multiplies="bytes",
        attends="float32",
        activations=torch.float32,
    ),
    broadcasts_words=False,
    dot_bytes=_dot_bytes,
    dot_bytes_of_unsigned_columns=_dot_bytes,
    dot_float32=_dot_float32,
    exp2=exp2_by_exponent_bits,
)
