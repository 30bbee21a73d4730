"""Scalar arithmetic and address operations for kernels. LLVM vectorises the loops that use them."""

from __future__ import annotations

from typing import Any

import llvmlite.binding
import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from hf_asr_endpoint.whisper.kernels.compile import compiled, inlined
from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.layout import COUNTER_OFFSET
from hf_asr_endpoint.whisper.kernels.openmp import BARRIER, THREAD_COUNT, THREAD_NUMBER, find_openmp

TASKS_PER_THREAD = 4
"""Parts of a kernel's work for each thread, which takes one after another. A thread whose core is slower, or has
other work, takes fewer than the rest, and the rest do not wait for long."""

_INT16, _INT32, _FLOAT = ir.IntType(16), ir.IntType(32), ir.FloatType()

thread_number = types.ExternalFunction(THREAD_NUMBER, types.int32())
thread_count = types.ExternalFunction(THREAD_COUNT, types.int32())
wait_for_threads = types.ExternalFunction(BARRIER, types.void())


def _tell_llvm_the_runtime() -> None:
    """LLVM would look for the functions among the process's symbols, which not all systems publish."""
    if (openmp := find_openmp()) is not None:
        for name in (THREAD_NUMBER, THREAD_COUNT, *([BARRIER] if openmp.has_barrier else [])):
            llvmlite.binding.add_symbol(name, openmp.address(name))


_tell_llvm_the_runtime()


@intrinsic
def next_task(typing: Any, data: Any, index: Any) -> Any:
    """Return the next task that no thread has taken. index: the length of the data, see `launch`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        offset = builder.add(args[1], ir.Constant(ir.IntType(64), COUNTER_OFFSET))
        counter = builder.gep(args[0], [offset])
        return builder.atomic_rmw("add", counter, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(types.CPointer(types.int64), types.int64), generate


@compiled
def tasks_of_thread(data, index, n_tasks):
    """Yield the tasks that the calling thread is to do, a few neighbours at a time.

    index: the length of the data.
    """
    n_at_once = max(n_tasks // (TASKS_PER_THREAD * np.int64(thread_count())), 1)
    first = next_task(data, index) * n_at_once
    while first < n_tasks:
        for task in range(first, min(first + n_at_once, n_tasks)):  # noqa: UP028 - numba has no `yield from`.
            yield task
        first = next_task(data, index) * n_at_once


def activation_type(isa: Isa) -> Any:
    """Return numpy's type for a level's activations. numpy has no bfloat16: uint16 stands for its bits."""
    return np.float32 if isa.layout.activations == torch.float32 else np.uint16


def word_type(isa: Isa) -> Any:
    """Return numpy's type for a word of columns, which are stored in 8 bits: as many bits as its elements have."""
    return {2: np.uint16, 4: np.uint32, 8: np.uint64}[isa.layout.elements_per_word]


@intrinsic
def to_float32(typing: Any, activation: Any) -> Any:
    """Convert an activation to float32: bfloat16, given as its bits, or float32, which is returned as it is."""
    if activation == types.float32:
        return types.float32(types.float32), lambda context, builder, signature, args: args[0]

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        shifted = builder.shl(builder.zext(args[0], _INT32), ir.Constant(_INT32, 16))
        return builder.bitcast(shifted, _FLOAT)

    return types.float32(types.uint16), generate


@intrinsic
def half_to_float32(typing: Any, half: Any) -> Any:
    """Convert float16, given as its bits, to float32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fpext(builder.bitcast(args[0], ir.HalfType()), _FLOAT)

    return types.float32(types.uint16), generate


@intrinsic
def to_bfloat16(typing: Any, value: Any) -> Any:
    """Convert float32 to the bits of bfloat16, rounding to the nearest, ties to even."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits, half = builder.bitcast(args[0], _INT32), ir.Constant(_INT32, 16)
        is_odd = builder.and_(builder.lshr(bits, half), ir.Constant(_INT32, 1))
        rounded = builder.add(bits, builder.add(is_odd, ir.Constant(_INT32, 0x7FFF)))
        return builder.trunc(builder.lshr(rounded, half), _INT16)

    return types.uint16(types.float32), generate


def round_to_activation(isa: Isa) -> Any:
    """Return the function that converts float32 to a level's activations."""
    return to_float32 if isa.layout.activations == torch.float32 else to_bfloat16


@intrinsic
def to_int32(typing: Any, value: Any) -> Any:
    """Convert float32 to an integer, dropping the fraction. Unlike `np.int32`, it does not go through 64 bits."""
    return types.int32(types.float32), lambda context, builder, signature, args: builder.fptosi(args[0], _INT32)


@intrinsic
def maximum(typing: Any, one: Any, other: Any) -> Any:
    """Return the larger of two float32, neither of them NaN. Unlike `max`, LLVM vectorises it."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function = builder.module.declare_intrinsic("llvm.maxnum", [_FLOAT], ir.FunctionType(_FLOAT, [_FLOAT] * 2))
        return builder.call(function, args, fastmath=("fast",))

    return types.float32(types.float32, types.float32), generate


@intrinsic
def minimum(typing: Any, one: Any, other: Any) -> Any:
    """Return the smaller of two float32, neither of them NaN. Unlike `min`, LLVM vectorises it."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function = builder.module.declare_intrinsic("llvm.minnum", [_FLOAT], ir.FunctionType(_FLOAT, [_FLOAT] * 2))
        return builder.call(function, args, fastmath=("fast",))

    return types.float32(types.float32, types.float32), generate


@intrinsic
def exp2_of_integer(typing: Any, exponent: Any) -> Any:
    """Return 2 to a whole number from -126 to 127, given as float32: it becomes the exponent bits."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        biased = builder.add(builder.fptosi(args[0], _INT32), ir.Constant(_INT32, 127))
        return builder.bitcast(builder.shl(biased, ir.Constant(_INT32, 23)), _FLOAT)

    return types.float32(types.float32), generate


@intrinsic
def pointer(typing: Any, address: Any, dtype: Any) -> Any:
    """Convert an address to a pointer to values of a numpy type."""
    pointer = types.CPointer(dtype.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(pointer))

    return pointer(types.int64, dtype), generate


@inlined
def exp(x):
    """Return e to the x for x <= 0, with a relative error below 1.1e-5 down to x = -79. Clamps x at -80.

    The fraction's power of 2 is a Taylor series. Unlike libm's exp, LLVM vectorises this one.
    """
    y = maximum(x, np.float32(-80)) * np.float32(1.44269504)
    whole = np.floor(y)
    part = y - whole
    power = np.float32(1.5403530e-4)
    power = power * part + np.float32(1.3333558e-3)
    power = power * part + np.float32(9.6181291e-3)
    power = power * part + np.float32(5.5504109e-2)
    power = power * part + np.float32(2.4022651e-1)
    power = power * part + np.float32(6.9314718e-1)
    power = power * part + np.float32(1)
    return exp2_of_integer(whole) * power


@compiled
def exp_scores(scores):
    """Replace each score by exp(score - largest score), in place; return the sum: softmax without its division."""
    largest = scores[0]
    for n in range(len(scores)):
        largest = maximum(largest, scores[n])
    total = np.float32(0)
    for n in range(len(scores)):
        power = exp(scores[n] - largest)
        scores[n] = power
        total += power
    return total
