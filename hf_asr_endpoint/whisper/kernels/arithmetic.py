"""What the kernels compute with."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from hf_asr_endpoint.whisper.kernels.compiling import compiled, inlined

HEAD_DIM = 64  # in every Whisper; the loops are laid out for it

_INT32, _FLOAT = ir.IntType(32), ir.FloatType()

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
def bits_of(typing: Any, value: Any) -> Any:
    """float32 to its bits."""
    return types.int32(types.float32), lambda context, builder, signature, args: builder.bitcast(args[0], _INT32)


@intrinsic
def of_bits(typing: Any, bits: Any) -> Any:
    """float32 of its bits."""
    return types.float32(types.int32), lambda context, builder, signature, args: builder.bitcast(args[0], _FLOAT)


@intrinsic
def pointer(typing: Any, address: Any, dtype: Any) -> Any:
    """An address to a pointer to values of a numpy type."""
    pointer = types.CPointer(dtype.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(pointer))

    return pointer(types.int64, dtype), generate


@inlined
def narrow(value):
    """float32 to bfloat16's bits, to the nearest, ties to even."""
    bits = bits_of(np.float32(value))
    return np.uint16((bits + ((bits >> np.int32(16)) & np.int32(1)) + np.int32(0x7FFF)) >> np.int32(16))


@inlined
def exp(x):
    """e to the x, for x <= 0, within 3e-6 of itself: Taylor's series for 2 to the fraction. Unlike libm's, it
    is computed for many at once."""
    y = max(x, np.float32(-80)) * np.float32(1.44269504)
    whole = np.floor(y)
    part = y - whole
    power = np.float32(1.5403530e-4)
    power = power * part + np.float32(1.3333558e-3)
    power = power * part + np.float32(9.6181291e-3)
    power = power * part + np.float32(5.5504109e-2)
    power = power * part + np.float32(2.4022651e-1)
    power = power * part + np.float32(6.9314718e-1)
    power = power * part + np.float32(1)
    return of_bits((np.int32(whole) + np.int32(127)) << np.int32(23)) * power


@compiled
def exponentiate(scores):
    """Replace scores by their powers of e, the largest of which becomes 1; return the sum."""
    most = scores[0]
    for n in range(len(scores)):
        most = max(most, scores[n])
    total = np.float32(0)
    for n in range(len(scores)):
        power = exp(scores[n] - most)
        scores[n] = power
        total += power
    return total
