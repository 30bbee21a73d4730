"""Attention of a few query rows to keys and values in 8-bit integers, compiled for the processor by numba.

A step of decoding reads every running window's keys and values once: what counts is how many bytes those have
and how near the reading comes to what the memory gives. Measured on two cores for 14 whole windows of
whisper-base: 11.2 ms for torch's batched products in bfloat16, 4.1 ms here (31 GB a second).

Kernels run on the threads that torch's own operators run on: theirs are GNU OpenMP's, whose documented entry
point `GOMP_parallel` takes a function, its data and a number of threads. A second team would fight with the
first one for the cores. The data are 64-bit integers, addresses among them; each kernel says which. numba keeps
what it has compiled beside this file, or in the user's cache; it looks at this file alone, so all of it is here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import carray, cfunc, njit, types
from numba.extending import intrinsic

from hf_asr_endpoint.whisper.cores import N_CORES

HEAD_DIM = 64  # in every Whisper; the loops are laid out for it

_OPTIONS: dict[str, Any] = {"fastmath": True, "error_model": "numpy", "boundscheck": False, "cache": True}
_KERNEL = types.void(types.CPointer(types.int64))
_INT32, _FLOAT = ir.IntType(32), ir.FloatType()
_INT8_MAX = np.float32(127)

Kernel = Callable[[Sequence[int]], None]
"""Runs a kernel over its data on torch's threads and returns when all of it is done."""

_thread = types.ExternalFunction("omp_get_thread_num", types.int32())
_n_threads = types.ExternalFunction("omp_get_num_threads", types.int32())


def are_available() -> bool:
    """Say whether torch's threads in this process are OpenMP's, as on Linux."""
    return all(hasattr(ctypes.CDLL(None), name) for name in ("GOMP_parallel", "omp_get_thread_num"))


@cache
def attend_int8() -> Kernel:
    """Return the kernel of attention; see `_attend` for its data."""
    return _on_threads(cfunc(_KERNEL, nopython=True, **_OPTIONS)(_attend))


@cache
def quantise_rows() -> Kernel:
    """Return the kernel that rounds rows to 8-bit integers; see `_quantise` for its data."""
    return _on_threads(cfunc(_KERNEL, nopython=True, **_OPTIONS)(_quantise))


def _on_threads(compiled: Any) -> Kernel:
    parallel = ctypes.CDLL(None).GOMP_parallel
    parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    parallel.restype = None

    def run(data: Sequence[int]) -> None:
        # No more than there is memory to work in for, and no more than torch would take in this thread.
        n_threads = min(torch.get_num_threads(), N_CORES)
        parallel(compiled.address, (ctypes.c_int64 * len(data))(*data), n_threads, 0)

    return run


@intrinsic
def _widen(typing: Any, bits: Any) -> Any:
    """bfloat16, as its bits, to float32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        shifted = builder.shl(builder.zext(args[0], _INT32), ir.Constant(_INT32, 16))
        return builder.bitcast(shifted, _FLOAT)

    return types.float32(types.uint16), generate


@intrinsic
def _bits_of(typing: Any, value: Any) -> Any:
    """float32 to its bits."""
    return types.int32(types.float32), lambda context, builder, signature, args: builder.bitcast(args[0], _INT32)


@intrinsic
def _of_bits(typing: Any, bits: Any) -> Any:
    """float32 of its bits."""
    return types.float32(types.int32), lambda context, builder, signature, args: builder.bitcast(args[0], _FLOAT)


@intrinsic
def _pointer(typing: Any, address: Any, dtype: Any) -> Any:
    """An address to a pointer to values of a numpy type."""
    pointer = types.CPointer(dtype.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(pointer))

    return pointer(types.int64, dtype), generate


@njit(inline="always", **_OPTIONS)
def _narrow(value):
    """float32 to bfloat16's bits, to the nearest, ties to even."""
    bits = _bits_of(np.float32(value))
    return np.uint16((bits + ((bits >> np.int32(16)) & np.int32(1)) + np.int32(0x7FFF)) >> np.int32(16))


@njit(inline="always", **_OPTIONS)
def _exp(x):
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
    return _of_bits((np.int32(whole) + np.int32(127)) << np.int32(23)) * power


@njit(**_OPTIONS)
def _score(query, keys, scales, scores):
    """Write query · key for each position. keys: in units of scales, shape = (HEAD_DIM, n_positions)."""
    scores[:] = np.float32(0)
    for d in range(0, HEAD_DIM, 8):
        a, b = _widen(query[d]) * scales[d], _widen(query[d + 1]) * scales[d + 1]
        c, e = _widen(query[d + 2]) * scales[d + 2], _widen(query[d + 3]) * scales[d + 3]
        f, g = _widen(query[d + 4]) * scales[d + 4], _widen(query[d + 5]) * scales[d + 5]
        h, i = _widen(query[d + 6]) * scales[d + 6], _widen(query[d + 7]) * scales[d + 7]
        row = keys[d : d + 8]
        for n in range(len(scores)):
            scores[n] += (
                (a * np.float32(row[0, n]) + b * np.float32(row[1, n]))
                + (c * np.float32(row[2, n]) + e * np.float32(row[3, n]))
                + (f * np.float32(row[4, n]) + g * np.float32(row[5, n]))
                + (h * np.float32(row[6, n]) + i * np.float32(row[7, n]))
            )


@njit(**_OPTIONS)
def _exponentiate(scores):
    """Replace scores by their powers of e, the largest of which becomes 1; return the sum."""
    most = scores[0]
    for n in range(len(scores)):
        most = max(most, scores[n])
    total = np.float32(0)
    for n in range(len(scores)):
        power = _exp(scores[n] - most)
        scores[n] = power
        total += power
    return total


@njit(**_OPTIONS)
def _average(weights, values, scales, total, attended):
    """Write the weighted mean of the values, shape = (HEAD_DIM, n_positions), in units of scales, (HEAD_DIM)."""
    for d in range(0, HEAD_DIM, 4):
        a, b, c, e = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        row = values[d : d + 4]
        for n in range(len(weights)):
            weight = weights[n]
            a += weight * np.float32(row[0, n])
            b += weight * np.float32(row[1, n])
            c += weight * np.float32(row[2, n])
            e += weight * np.float32(row[3, n])
        attended[d] = _narrow(a / total * scales[d])
        attended[d + 1] = _narrow(b / total * scales[d + 1])
        attended[d + 2] = _narrow(c / total * scales[d + 2])
        attended[d + 3] = _narrow(e / total * scales[d + 3])


def _attend(data):
    """Attend from rows to windows, a head of a window at a time, so that its keys stay in the cache for all rows.

    data: addresses of queries and of what is written, bfloat16, shape = (n_rows, n_heads, HEAD_DIM); of the
    rows' order, int64; of windows, int64, shape = (n_windows, 4): address, number of positions, first and last + 1
    of its rows in that order; of float32 to work in, shape = (N_CORES, room); n_rows, n_heads, n_windows, room.
    At a window's address: keys, then values, int8, shape = (n_heads, HEAD_DIM, n_positions), then their scales,
    float32, shape = (2, n_heads, HEAD_DIM).
    """
    args = carray(data, (9,))
    n_rows, n_heads, n_windows, room = args[5], args[6], args[7], args[8]
    queries = carray(_pointer(args[0], np.uint16), (n_rows, n_heads, HEAD_DIM))
    attended = carray(_pointer(args[1], np.uint16), (n_rows, n_heads, HEAD_DIM))
    order = carray(_pointer(args[2], np.int64), (n_rows,))
    windows = carray(_pointer(args[3], np.int64), (n_windows, 4))
    thread, n_threads = np.int64(_thread()), np.int64(_n_threads())
    scratch = carray(_pointer(args[4], np.float32), (n_threads, room))[thread]
    n_tasks = n_windows * n_heads
    for task in range(n_tasks * thread // n_threads, n_tasks * (thread + 1) // n_threads):
        window, head = windows[task // n_heads], task % n_heads
        n_bytes = n_heads * HEAD_DIM * window[1]
        kv = carray(_pointer(window[0], np.int8), (2, n_heads, HEAD_DIM, window[1]))
        scales = carray(_pointer(window[0] + 2 * n_bytes, np.float32), (2, n_heads, HEAD_DIM))
        scores = scratch[: window[1]]
        for index in range(window[2], window[3]):
            row = order[index]
            _score(queries[row, head], kv[0, head], scales[0, head], scores)
            total = _exponentiate(scores)
            _average(scores, kv[1, head], scales[1, head], total, attended[row, head])


@njit(**_OPTIONS)
def _quantise_row(row, rounded):
    """Write a row as 8-bit integers; return what they are to be multiplied by."""
    most = np.float32(1e-8)
    for n in range(len(row)):
        most = max(most, abs(_widen(row[n])))
    per_unit = _INT8_MAX / most
    for n in range(len(row)):
        rounded[n] = np.int8(np.rint(_widen(row[n]) * per_unit))
    return most / _INT8_MAX


def _quantise(data):
    """Round each row by a scale of its own.

    data: addresses of rows, bfloat16, shape = (n_rows, n_columns), of what is written, int8, likewise, and of the
    scales, float32, (n_rows); n_rows, n_columns.
    """
    args = carray(data, (5,))
    n_rows, n_columns = args[3], args[4]
    rows = carray(_pointer(args[0], np.uint16), (n_rows, n_columns))
    rounded = carray(_pointer(args[1], np.int8), (n_rows, n_columns))
    scales = carray(_pointer(args[2], np.float32), (n_rows,))
    thread, n_threads = np.int64(_thread()), np.int64(_n_threads())
    for row in range(n_rows * thread // n_threads, n_rows * (thread + 1) // n_threads):
        scales[row] = _quantise_row(rows[row], rounded[row])
