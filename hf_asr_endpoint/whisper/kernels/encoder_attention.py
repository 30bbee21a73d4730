"""Attention of all of a window's positions to each other.

A few positions at a time: their scores stay in the core's own cache, from the product with the keys to that with
the values (Dao et al. 2022, arXiv 2205.14135). All of a row's scores fit, so softmax needs no second pass.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from hf_asr_endpoint.whisper.kernels.compile import compiled
from hf_asr_endpoint.whisper.kernels.launch import on_threads
from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM, N_COLUMNS, N_ROWS, Kernel
from hf_asr_endpoint.whisper.kernels.scalar import narrow, pointer, thread_count, thread_number
from hf_asr_endpoint.whisper.kernels.softmax import NO_SCORE, softmax_to_bfloat16
from hf_asr_endpoint.whisper.kernels.tile import multiply_bfloat16

_PAIRS = HEAD_DIM // 2  # of bfloat16, which tiles take at once


def compile_kernel() -> Kernel:
    """Return the kernel; see `_encoder_attention` for its data."""
    return on_threads(_encoder_attention)


@compiled
def _pack(heads, head, keys, values):
    """Lay out a head's keys and values as columns of tiles.

    heads: pairs of bfloat16, shape = (n_positions, 3, n_heads, _PAIRS). keys: (n_panels, _PAIRS, N_COLUMNS).
    values: bfloat16, (n_pairs_of_positions, HEAD_DIM, 2); what is behind the last position becomes 0.
    """
    for n in range(len(heads)):
        panel, column = n // N_COLUMNS, n % N_COLUMNS
        for pair in range(_PAIRS):
            keys[panel, pair, column] = heads[n, 1, head, pair]
            both = heads[n, 2, head, pair]
            values[n // 2, 2 * pair, n % 2] = np.uint16(both)
            values[n // 2, 2 * pair + 1, n % 2] = np.uint16(both >> np.uint32(16))
    for n in range(len(heads), 2 * len(values)):
        values[n // 2, :, n % 2] = np.uint16(0)


@compiled
def _write_means(sums, total, attended):
    per_weight = np.float32(1) / total
    for d in range(HEAD_DIM):
        attended[d] = narrow(sums[d] * per_weight)


def _encoder_attention(data):
    """Attend from each position to all, tile after tile of a head's positions.

    data: addresses of queries, keys and values, bfloat16, shape = (n_positions, 3, n_heads, HEAD_DIM), of what is
    written, likewise, (n_positions, n_heads, HEAD_DIM), of memory to work in, shape = (N_CORES, `scratch_bytes`
    n_positions); n_positions, n_heads, that room.
    """
    args = carray(data, (6,))
    n_positions, n_heads, room = args[3], args[4], args[5]
    heads = carray(pointer(args[0], np.uint32), (n_positions, 3, n_heads, _PAIRS))
    attended = carray(pointer(args[1], np.uint16), (n_positions, n_heads, HEAD_DIM))
    thread, n_threads = np.int64(thread_number()), np.int64(thread_count())
    n_panels = (n_positions + N_COLUMNS - 1) // N_COLUMNS
    n_keys = n_panels * N_COLUMNS
    keys_at = args[2] + thread * room
    values_at = keys_at + 2 * n_keys * HEAD_DIM
    scores_at = values_at + 2 * n_keys * HEAD_DIM
    weights_at = scores_at + 4 * N_ROWS * n_keys
    queries_at = weights_at + 2 * N_ROWS * n_keys
    sums_at = queries_at + 2 * N_ROWS * HEAD_DIM
    keys = carray(pointer(keys_at, np.uint32), (n_panels, _PAIRS, N_COLUMNS))
    values = carray(pointer(values_at, np.uint16), (n_keys // 2, HEAD_DIM, 2))
    scores = carray(pointer(scores_at, np.float32), (N_ROWS, n_keys))
    queries = carray(pointer(queries_at, np.uint32), (N_ROWS, _PAIRS))
    sums = carray(pointer(sums_at, np.float32), (N_ROWS, HEAD_DIM))
    totals = np.empty(N_ROWS, np.float32)
    queries[:] = np.uint32(0)
    n_tiles = (n_positions + N_ROWS - 1) // N_ROWS
    n_tasks, packed = n_heads * n_tiles, -1
    for task in range(n_tasks * thread // n_threads, n_tasks * (thread + 1) // n_threads):
        head, begin = task // n_tiles, task % n_tiles * N_ROWS
        if head != packed:
            _pack(heads, head, keys, values)
            packed = head
        n_rows = min(N_ROWS, n_positions - begin)
        for row in range(n_rows):
            queries[row] = heads[begin + row, 0, head]
        for panel in range(n_panels):
            multiply_bfloat16(
                queries_at, 2 * HEAD_DIM,
                keys_at + panel * 2 * HEAD_DIM * N_COLUMNS, _PAIRS,
                scores_at + panel * 4 * N_COLUMNS, 4 * n_keys,
            )  # fmt: skip
        scores[:, n_positions:] = NO_SCORE
        for row in range(N_ROWS):
            totals[row] = softmax_to_bfloat16(
                scores_at + row * 4 * n_keys, weights_at + row * 2 * n_keys, n_panels
            )
        multiply_bfloat16(weights_at, 2 * n_keys, values_at, n_keys // 2, sums_at, 4 * HEAD_DIM)
        for row in range(n_rows):
            _write_means(sums[row], totals[row], attended[begin + row, head])
