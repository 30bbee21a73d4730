"""A window's keys and values in bfloat16 to 8-bit integers, a scale for each channel."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import carray

from hf_asr_endpoint.whisper.kernels.arithmetic import (
    larger,
    pointer,
    thread_count,
    thread_number,
    to_int32,
    widen,
)
from hf_asr_endpoint.whisper.kernels.compiling import compiled
from hf_asr_endpoint.whisper.kernels.launch import Kernel, on_threads

_BLOCK = 64  # channels, and positions, that are turned round at a time
_INT8_MAX = np.float32(127)
_LEAST_SIZE = np.float32(1e-8)  # of a channel, instead of 0


@cache
def quantise_columns() -> Kernel:
    """Return the kernel; see `_quantise_columns` for its data."""
    return on_threads(_quantise_columns)


@compiled
def _enlarge(most, row):
    """Have `most` be the largest size of each channel so far."""
    for n in range(_BLOCK):
        most[n] = larger(most[n], abs(widen(row[n])))


@compiled
def _round(row, per_unit, rounded):
    for n in range(_BLOCK):
        rounded[n] = np.int8(to_int32(np.rint(widen(row[n]) * per_unit[n])))


@compiled
def _turn(block, channel, rounded):
    """Write a channel's positions one behind the other."""
    for position in range(len(rounded)):
        rounded[position] = block[position, channel]


def _quantise_columns(data):
    """Round each column by a scale of its own, and write it as a row.

    data: addresses of columns, bfloat16, shape = (n_positions, n_channels), of what is written, int8, shape =
    (n_channels, n_positions), and of the scales, float32, (n_channels); n_positions and n_channels, a multiple of
    _BLOCK.
    """
    args = carray(data, (5,))
    n_positions, n_channels = args[3], args[4]
    rows = carray(pointer(args[0], np.uint16), (n_positions, n_channels))
    rounded = carray(pointer(args[1], np.int8), (n_channels, n_positions))
    scales = carray(pointer(args[2], np.float32), (n_channels,))
    per_unit, block = np.empty(_BLOCK, np.float32), np.empty((_BLOCK, _BLOCK), np.int8)
    thread, n_threads = np.int64(thread_number()), np.int64(thread_count())
    n_blocks = n_channels // _BLOCK
    for index in range(n_blocks * thread // n_threads, n_blocks * (thread + 1) // n_threads):
        first = index * _BLOCK
        last = first + _BLOCK
        per_unit[:] = _LEAST_SIZE
        for position in range(n_positions):
            _enlarge(per_unit, rows[position, first:last])
        scales[first:last] = per_unit / _INT8_MAX
        per_unit[:] = _INT8_MAX / per_unit
        for begin in range(0, n_positions, _BLOCK):
            end = min(begin + _BLOCK, n_positions)
            for position in range(begin, end):
                _round(rows[position, first:last], per_unit, block[position - begin])
            for n in range(_BLOCK):
                _turn(block, n, rounded[first + n, begin:end])
