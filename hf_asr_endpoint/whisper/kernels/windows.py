"""Attention of a few query rows to windows' keys and values in 8-bit integers.

A step of decoding reads every running window's keys and values once: what counts is how many bytes those have
and how near the reading comes to what the memory gives. Measured on two cores for 14 whole windows of
whisper-base: 11.2 ms for torch's batched products in bfloat16, 4.1 ms here (31 GB a second).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import carray

from hf_asr_endpoint.whisper.kernels.arithmetic import (
    HEAD_DIM,
    exponentiate,
    narrow,
    pointer,
    thread_count,
    thread_number,
    widen,
)
from hf_asr_endpoint.whisper.kernels.compiling import compiled
from hf_asr_endpoint.whisper.kernels.launch import Kernel, on_threads


@cache
def attend_int8() -> Kernel:
    """Return the kernel of attention; see `_attend` for its data."""
    return on_threads(_attend)


@compiled
def _score(query, keys, scales, scores):
    """Write query · key for each position. keys: in units of scales, shape = (HEAD_DIM, n_positions)."""
    scores[:] = np.float32(0)
    for d in range(0, HEAD_DIM, 8):
        a, b = widen(query[d]) * scales[d], widen(query[d + 1]) * scales[d + 1]
        c, e = widen(query[d + 2]) * scales[d + 2], widen(query[d + 3]) * scales[d + 3]
        f, g = widen(query[d + 4]) * scales[d + 4], widen(query[d + 5]) * scales[d + 5]
        h, i = widen(query[d + 6]) * scales[d + 6], widen(query[d + 7]) * scales[d + 7]
        row = keys[d : d + 8]
        for n in range(len(scores)):
            scores[n] += (
                (a * np.float32(row[0, n]) + b * np.float32(row[1, n]))
                + (c * np.float32(row[2, n]) + e * np.float32(row[3, n]))
                + (f * np.float32(row[4, n]) + g * np.float32(row[5, n]))
                + (h * np.float32(row[6, n]) + i * np.float32(row[7, n]))
            )


@compiled
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
        attended[d] = narrow(a / total * scales[d])
        attended[d + 1] = narrow(b / total * scales[d + 1])
        attended[d + 2] = narrow(c / total * scales[d + 2])
        attended[d + 3] = narrow(e / total * scales[d + 3])


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
    queries = carray(pointer(args[0], np.uint16), (n_rows, n_heads, HEAD_DIM))
    attended = carray(pointer(args[1], np.uint16), (n_rows, n_heads, HEAD_DIM))
    order = carray(pointer(args[2], np.int64), (n_rows,))
    windows = carray(pointer(args[3], np.int64), (n_windows, 4))
    thread, n_threads = np.int64(thread_number()), np.int64(thread_count())
    scratch = carray(pointer(args[4], np.float32), (n_threads, room))[thread]
    n_tasks = n_windows * n_heads
    for task in range(n_tasks * thread // n_threads, n_tasks * (thread + 1) // n_threads):
        window, head = windows[task // n_heads], task % n_heads
        n_bytes = n_heads * HEAD_DIM * window[1]
        kv = carray(pointer(window[0], np.int8), (2, n_heads, HEAD_DIM, window[1]))
        scales = carray(pointer(window[0] + 2 * n_bytes, np.float32), (2, n_heads, HEAD_DIM))
        scores = scratch[: window[1]]
        for index in range(window[2], window[3]):
            row = order[index]
            _score(queries[row, head], kv[0, head], scales[0, head], scores)
            total = exponentiate(scores)
            _average(scores, kv[1, head], scales[1, head], total, attended[row, head])
