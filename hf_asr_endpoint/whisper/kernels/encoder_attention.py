"""Attention between all positions of a window.

A tile of queries at a time: its scores stay in the core's cache from the product with the keys to the product with
the values (Dao et al. 2022, arXiv 2205.14135). All scores of a row fit, so softmax sees the whole row at once.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from hf_asr_endpoint.whisper.kernels.compile import compiled
from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM, TILE_COLUMNS, TILE_ROWS
from hf_asr_endpoint.whisper.kernels.scalar import pointer, thread_count, thread_number, to_bfloat16
from hf_asr_endpoint.whisper.kernels.softmax import MASKED_SCORE, exp_scores_to_bfloat16
from hf_asr_endpoint.whisper.kernels.tile import bfloat16_tile

_HEAD_WORDS = HEAD_DIM // 2  # 32-bit words of a head's row; each holds two bfloat16


def encoder_attention(data):
    """Attend from each position to all. Threads share out the tiles of queries of all heads.

    data: the addresses of queries, keys and values, bfloat16, shape = (n_positions, 3, n_heads, HEAD_DIM); of the
    result, bfloat16, shape = (n_positions, n_heads, HEAD_DIM); of scratch memory, shape = (N_CORES,
    scratch_bytes); then n_positions, n_heads and scratch_bytes, see `layout`.
    """
    args = carray(data, (6,))
    n_positions, n_heads, scratch_bytes = args[3], args[4], args[5]
    heads = carray(pointer(args[0], np.uint32), (n_positions, 3, n_heads, _HEAD_WORDS))
    result = carray(pointer(args[1], np.uint16), (n_positions, n_heads, HEAD_DIM))
    thread, n_threads = np.int64(thread_number()), np.int64(thread_count())
    n_panels = (n_positions + TILE_COLUMNS - 1) // TILE_COLUMNS
    n_keys = n_panels * TILE_COLUMNS
    keys_at = args[2] + thread * scratch_bytes
    values_at = keys_at + 2 * n_keys * HEAD_DIM
    scores_at = values_at + 2 * n_keys * HEAD_DIM
    weights_at = scores_at + 4 * TILE_ROWS * n_keys
    queries_at = weights_at + 2 * TILE_ROWS * n_keys
    sums_at = queries_at + 2 * TILE_ROWS * HEAD_DIM
    keys = carray(pointer(keys_at, np.uint32), (n_panels, _HEAD_WORDS, TILE_COLUMNS))
    values = carray(pointer(values_at, np.uint16), (n_keys // 2, HEAD_DIM, 2))
    scores = carray(pointer(scores_at, np.float32), (TILE_ROWS, n_keys))
    queries = carray(pointer(queries_at, np.uint32), (TILE_ROWS, _HEAD_WORDS))
    sums = carray(pointer(sums_at, np.float32), (TILE_ROWS, HEAD_DIM))
    totals = np.empty(TILE_ROWS, np.float32)
    queries[:] = np.uint32(0)
    n_tiles = (n_positions + TILE_ROWS - 1) // TILE_ROWS
    n_tasks, packed_head = n_heads * n_tiles, -1
    for task in range(n_tasks * thread // n_threads, n_tasks * (thread + 1) // n_threads):
        head, begin = task // n_tiles, task % n_tiles * TILE_ROWS
        if head != packed_head:
            _pack_keys_and_values(heads, head, keys, values)
            packed_head = head
        n_rows = min(TILE_ROWS, n_positions - begin)
        for row in range(n_rows):
            queries[row] = heads[begin + row, 0, head]
        for panel in range(n_panels):
            bfloat16_tile(
                queries_at, 2 * HEAD_DIM,
                keys_at + panel * 2 * HEAD_DIM * TILE_COLUMNS, _HEAD_WORDS,
                scores_at + panel * 4 * TILE_COLUMNS, 4 * n_keys,
            )  # fmt: skip
        scores[:, n_positions:] = MASKED_SCORE
        for row in range(TILE_ROWS):
            totals[row] = exp_scores_to_bfloat16(
                scores_at + row * 4 * n_keys, weights_at + row * 2 * n_keys, n_panels
            )
        bfloat16_tile(weights_at, 2 * n_keys, values_at, n_keys // 2, sums_at, 4 * HEAD_DIM)
        for row in range(n_rows):
            _write_mean(sums[row], totals[row], result[begin + row, head])


@compiled
def _pack_keys_and_values(heads, head, keys, values):
    """Lay out a head's keys and values as the columns of tiles.

    heads: words, shape = (n_positions, 3, n_heads, _HEAD_WORDS). keys: words, shape = (n_panels, _HEAD_WORDS,
    TILE_COLUMNS). values: bfloat16, shape = (n_keys / 2, HEAD_DIM, 2): a word holds two positions; those after the
    last position become 0.
    """
    for n in range(len(heads)):
        panel, column = n // TILE_COLUMNS, n % TILE_COLUMNS
        for word in range(_HEAD_WORDS):
            keys[panel, word, column] = heads[n, 1, head, word]
            value_pair = heads[n, 2, head, word]
            values[n // 2, 2 * word, n % 2] = np.uint16(value_pair)
            values[n // 2, 2 * word + 1, n % 2] = np.uint16(value_pair >> np.uint32(16))
    for n in range(len(heads), 2 * len(values)):
        values[n // 2, :, n % 2] = np.uint16(0)


@compiled
def _write_mean(sums, total, result):
    """Write a query's weighted mean of the values. total: the sum of the weights."""
    factor = np.float32(1) / total
    for d in range(HEAD_DIM):
        result[d] = to_bfloat16(sums[d] * factor)
