"""What comes before and behind a product of 8-bit integers: rows in bfloat16 to integers, and sums to rows.

Each in one pass, where torch's operators read and write the rows six times: with them the products of a whole
window take longer in integers than in bfloat16.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import carray

from hf_asr_endpoint.whisper.kernels.arithmetic import (
    exp,
    narrow,
    pointer,
    thread_count,
    thread_number,
    widen,
)
from hf_asr_endpoint.whisper.kernels.compiling import compiled, inlined
from hf_asr_endpoint.whisper.kernels.launch import Kernel, on_threads

PLAIN, GELU, ADD = range(3)
"""What a product is finished with: its bias, an activation behind that, or the sum with other rows."""

SIGNED_ZERO = 0  # what `quantise_rows` is told when signed bytes are wanted

_INT8_MAX = np.float32(127)


@cache
def quantise_rows() -> Kernel:
    """Return the kernel that rounds rows to integers; see `_quantise` for its data."""
    return on_threads(_quantise)


@cache
def finish_rows() -> Kernel:
    """Return the kernel that makes rows of products; see `_finish` for its data."""
    return on_threads(_finish)


@compiled
def _quantise_row(row, zero, rounded):
    """Write a row as 8-bit integers; return what they are to be multiplied by."""
    most = np.float32(1e-8)
    for n in range(len(row)):
        most = max(most, abs(widen(row[n])))
    per_unit = _INT8_MAX / most
    for n in range(len(row)):
        rounded[n] = np.uint8(np.int32(np.rint(widen(row[n]) * per_unit)) + zero)
    return most / _INT8_MAX


def _quantise(data):
    """Round each row by a scale of its own.

    data: addresses of rows, bfloat16, shape = (n_rows, n_columns), of what is written, bytes, likewise, and of the
    scales, float32, (n_rows); n_rows, n_columns, and what is added to all integers.
    """
    args = carray(data, (6,))
    n_rows, n_columns, zero = args[3], args[4], np.int32(args[5])
    rows = carray(pointer(args[0], np.uint16), (n_rows, n_columns))
    rounded = carray(pointer(args[1], np.uint8), (n_rows, n_columns))
    scales = carray(pointer(args[2], np.float32), (n_rows,))
    thread, n_threads = np.int64(thread_number()), np.int64(thread_count())
    for row in range(n_rows * thread // n_threads, n_rows * (thread + 1) // n_threads):
        scales[row] = _quantise_row(rows[row], zero, rounded[row])


@inlined
def _gelu(x):
    """x times the normal distribution function, within 2e-7 of it (Abramowitz and Stegun, 7.1.26)."""
    size = abs(x) * np.float32(0.70710678)
    t = np.float32(1) / (np.float32(1) + np.float32(0.3275911) * size)
    series = np.float32(1.061405429) * t + np.float32(-1.453152027)
    series = series * t + np.float32(1.421413741)
    series = series * t + np.float32(-0.284496736)
    series = series * t + np.float32(0.254829592)
    tail = x * np.float32(0.5) * series * t * exp(-size * size)
    return tail if x < np.float32(0) else x - tail


@compiled
def _finish_plain(sums, scale, bias):
    for n in range(len(sums)):
        sums[n] = narrow(widen(sums[n]) * scale + bias[n])


@compiled
def _finish_gelu(sums, scale, bias):
    for n in range(len(sums)):
        sums[n] = narrow(_gelu(widen(sums[n]) * scale + bias[n]))


@compiled
def _finish_add(sums, scale, bias, others):
    for n in range(len(sums)):
        sums[n] = narrow(widen(sums[n]) * scale + bias[n] + widen(others[n]))


def _finish(data):
    """Multiply each row by its scale, add the bias, and do what else is wanted, in place.

    data: addresses of the rows, bfloat16, shape = (n_rows, n_columns), of the scales, float32, (n_rows), of the
    bias, float32, (n_columns), and, for ADD, of the other rows, bfloat16; n_rows, n_columns; PLAIN, GELU or ADD.
    """
    args = carray(data, (7,))
    n_rows, n_columns, wanted = args[4], args[5], args[6]
    rows = carray(pointer(args[0], np.uint16), (n_rows, n_columns))
    scales = carray(pointer(args[1], np.float32), (n_rows,))
    bias = carray(pointer(args[2], np.float32), (n_columns,))
    others = carray(pointer(args[3], np.uint16), (n_rows, n_columns))
    thread, n_threads = np.int64(thread_number()), np.int64(thread_count())
    for row in range(n_rows * thread // n_threads, n_rows * (thread + 1) // n_threads):
        if wanted == ADD:
            _finish_add(rows[row], scales[row], bias, others[row])
        elif wanted == GELU:
            _finish_gelu(rows[row], scales[row], bias)
        else:
            _finish_plain(rows[row], scales[row], bias)
