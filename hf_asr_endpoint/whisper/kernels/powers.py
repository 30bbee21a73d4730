"""Scores in bfloat16 to powers of e, and the sums of their rows: softmax without the division."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import carray

from hf_asr_endpoint.whisper.kernels.arithmetic import (
    bits_of,
    of_bits,
    pointer,
    thread_count,
    thread_number,
    widen,
)
from hf_asr_endpoint.whisper.kernels.compiling import compiled, inlined
from hf_asr_endpoint.whisper.kernels.launch import Kernel, on_threads

TRUSTED = 2.0**80
"""Sums that do not lie between this and its inverse are not to be trusted: powers end at 2 to the 100th."""

_MOST = np.float32(100)
_LOG2_E = np.float32(1.44269504)


@cache
def exponentiate_rows() -> Kernel:
    """Return the kernel; see `_exponentiate_rows` for its data."""
    return on_threads(_exponentiate_rows)


@inlined
def _power_of_2(y):
    """2 to the y within 8e-5 of itself, where bfloat16 rounds off 2e-3: a cubic for the fraction."""
    whole = np.floor(y)
    part = y - whole
    power = np.float32(0.07790716) * part + np.float32(0.22623319)
    power = power * part + np.float32(0.6957771)
    power = power * part + np.float32(0.99992783)
    return of_bits((np.int32(whole) + np.int32(127)) << np.int32(23)) * power


@compiled
def _exponentiate_row(row):
    """Replace a row's scores; return the sum of what they are replaced by."""
    total = np.float32(0)
    for n in range(len(row)):
        power = _power_of_2(min(max(widen(row[n]) * _LOG2_E, -_MOST), _MOST))
        bits = (bits_of(power) + np.int32(0x8000)) >> np.int32(16)  # to the nearest bfloat16
        row[n] = np.uint16(bits)
        total += of_bits(bits << np.int32(16))
    return total


def _exponentiate_rows(data):
    """data: addresses of the scores, bfloat16, shape = (n_rows, n_columns), and of the sums, float32, (n_rows);
    n_rows, n_columns."""
    args = carray(data, (4,))
    n_rows, n_columns = args[2], args[3]
    rows = carray(pointer(args[0], np.uint16), (n_rows, n_columns))
    sums = carray(pointer(args[1], np.float32), (n_rows,))
    thread, n_threads = np.int64(thread_number()), np.int64(thread_count())
    for row in range(n_rows * thread // n_threads, n_rows * (thread + 1) // n_threads):
        sums[row] = _exponentiate_row(rows[row])
