"""What the kernels compute with."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from hf_asr_endpoint.whisper.kernels.compile import compiled, inlined

_HALF, _INT32, _FLOAT = ir.IntType(16), ir.IntType(32), ir.FloatType()

thread_number = types.ExternalFunction("omp_get_thread_num", types.int32())
thread_count = types.ExternalFunction("omp_get_num_threads", types.int32())


@intrinsic
def widen(typing: Any, bits: Any) -> Any:
    """bfloat16, as its bits, to float32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        shifted = builder.shl(builder.zext(args[0], _INT32), ir.Constant(_INT32, 16))
        return builder.bitcast(shifted, _FLOAT)

    return types.float32(types.uint16), generate


@intrinsic
def larger(typing: Any, one: Any, other: Any) -> Any:
    """The larger of two float32 that are numbers. Unlike `max`, it is computed for many at once."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function = builder.module.declare_intrinsic("llvm.maxnum", [_FLOAT], ir.FunctionType(_FLOAT, [_FLOAT] * 2))
        return builder.call(function, args, fastmath=("fast",))

    return types.float32(types.float32, types.float32), generate


@intrinsic
def narrow(typing: Any, value: Any) -> Any:
    """float32 to bfloat16's bits, to the nearest, ties to even."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits, half = builder.bitcast(args[0], _INT32), ir.Constant(_INT32, 16)
        is_odd = builder.and_(builder.lshr(bits, half), ir.Constant(_INT32, 1))
        rounded = builder.add(bits, builder.add(is_odd, ir.Constant(_INT32, 0x7FFF)))
        return builder.trunc(builder.lshr(rounded, half), _HALF)

    return types.uint16(types.float32), generate


@intrinsic
def to_int32(typing: Any, whole: Any) -> Any:
    """float32 to an integer. Unlike `np.int32`, it does not go by way of 64 bits."""
    return types.int32(types.float32), lambda context, builder, signature, args: builder.fptosi(args[0], _INT32)


@intrinsic
def power_of_2(typing: Any, exponent: Any) -> Any:
    """2 to a whole number from -126 to 127, given as float32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        biased = builder.add(builder.fptosi(args[0], _INT32), ir.Constant(_INT32, 127))
        return builder.bitcast(builder.shl(biased, ir.Constant(_INT32, 23)), _FLOAT)

    return types.float32(types.float32), generate


@intrinsic
def pointer(typing: Any, address: Any, dtype: Any) -> Any:
    """An address to a pointer to values of a numpy type."""
    pointer = types.CPointer(dtype.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(pointer))

    return pointer(types.int64, dtype), generate


@inlined
def exp(x):
    """e to the x, for x <= 0, within 1.1e-5 of itself down to -79, where it ends: Taylor's series for 2 to the
    fraction. Unlike libm's, it is computed for many at once."""
    y = larger(x, np.float32(-80)) * np.float32(1.44269504)
    whole = np.floor(y)
    part = y - whole
    power = np.float32(1.5403530e-4)
    power = power * part + np.float32(1.3333558e-3)
    power = power * part + np.float32(9.6181291e-3)
    power = power * part + np.float32(5.5504109e-2)
    power = power * part + np.float32(2.4022651e-1)
    power = power * part + np.float32(6.9314718e-1)
    power = power * part + np.float32(1)
    return power_of_2(whole) * power


@compiled
def exponentiate(scores):
    """Replace scores by their powers of e, the largest of which becomes 1; return the sum."""
    most = scores[0]
    for n in range(len(scores)):
        most = larger(most, scores[n])
    total = np.float32(0)
    for n in range(len(scores)):
        power = exp(scores[n] - most)
        scores[n] = power
        total += power
    return total
