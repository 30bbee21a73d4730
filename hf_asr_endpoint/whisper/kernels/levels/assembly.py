"""Instructions that several levels share, given as assembly, and what is computed where there is none."""

from __future__ import annotations

from typing import Any

import llvmlite.binding
from llvmlite import ir

from hf_asr_endpoint.whisper.kernels.simd import FloatVector, Simd

llvmlite.binding.initialize_native_asmparser()


def dot_product(
    simd: Simd, assembly: str, accumulator: Any, row: Any, columns: Any, *, registers: str = "v"
) -> Any:
    """Emit a three-operand instruction: $0 is the accumulator, $2 the row's word, $3 the columns' words.

    registers: LLVM's constraint: "v" for all vector registers, "x" for the first 16, which VEX can encode.
    """
    function = ir.FunctionType(accumulator.type, [accumulator.type, simd.int32_vector, simd.int32_vector])
    constraints = f"={registers},0,{registers},{registers}"
    return simd.builder.asm(function, assembly, constraints, [accumulator, row, columns], False)


def dot_bytes(simd: Simd, accumulator: Any, row: Any, columns: Any) -> Any:
    """Emit the dot product of four unsigned bytes of the row with four signed ones of the columns."""
    return dot_product(simd, "vpdpbusd $3, $2, $0", accumulator, row, columns)


def dot_bytes_of_unsigned_columns(simd: Simd, accumulator: Any, row: Any, columns: Any) -> Any:
    """Emit the dot product of four signed bytes of the row with four unsigned ones of the columns."""
    return dot_product(simd, "vpdpbusd $2, $3, $0", accumulator, row, columns)


def dot_pairs(simd: Simd, accumulator: Any, row: Any, columns: Any) -> Any:
    """Emit the dot product of two signed 16-bit integers of the row with two of the columns."""
    return dot_product(simd, "vpdpwssd $3, $2, $0", accumulator, row, columns)


def exp2_by_scaling(x: FloatVector) -> FloatVector:
    """Return 2 to the power of x by AVX-512's scaling. Relative error: below 8e-5; bfloat16 rounds by up to
    2e-3."""
    fraction = x.instruction("vreduceps $$9, $1, $0", x.simd.float_vector, x)  # x minus the integer below
    power = _power_of_fraction(fraction)
    return x.instruction("vscalefps $2, $1, $0", x.simd.float_vector, power, x)  # which rounds x down itself


def exp2_by_exponent_bits(x: FloatVector) -> FloatVector:
    """Return 2 to the power of x, at least -126, by adding its whole part to the exponent. Error: see above."""
    x = x.maximum(x.with_value(x.simd.floats(-126.0)))
    vector = x.simd.float_vector
    floor = x.simd.builder.module.declare_intrinsic(
        f"llvm.floor.v{vector.count}f32", fnty=ir.FunctionType(vector, [vector])
    )
    whole = x.with_value(x.simd.builder.call(floor, [x.value]))
    power = _power_of_fraction(x - whole)
    exponent = x.simd.builder.shl(whole.to_int32(), x.simd.int32s(23))
    bits = x.simd.builder.add(power.bits(), exponent)
    return x.with_value(x.simd.builder.bitcast(bits, x.simd.float_vector))


def _power_of_fraction(part: FloatVector) -> FloatVector:
    """Return 2 to the power of a fraction from 0 to 1 by a cubic polynomial."""
    return ((part * 0.07790716 + 0.22623319) * part + 0.6957771) * part + 0.99992783
