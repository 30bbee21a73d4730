"""Attention between all positions of a window, in bfloat16.

A tile of queries at a time: its scores stay in the core's cache from the product with the keys to the product with
the values (Dao et al. 2022, arXiv 2205.14135). All scores of a row fit, so softmax sees the whole row at once.

data: the addresses of queries, keys and values, bfloat16, shape = (n_positions, 3, n_heads, HEAD_DIM); of the
result, bfloat16, shape = (n_positions, n_heads, HEAD_DIM); of scratch memory, shape = (N_CORES, scratch_bytes);
then n_positions, n_heads and scratch_bytes, see `layout`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray

from hf_asr_endpoint.whisper.kernels.compile import compiled
from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM
from hf_asr_endpoint.whisper.kernels.matrix_tile import (
    make_bfloat16_matrix_tile,
    make_prepare_thread,
    make_release_thread,
)
from hf_asr_endpoint.whisper.kernels.scalar import pointer, tasks_of_thread, thread_number, to_bfloat16
from hf_asr_endpoint.whisper.kernels.softmax import MASKED_SCORE, make_exp_scores_to_bfloat16
from hf_asr_endpoint.whisper.kernels.tile import make_float_tile

_HEAD_WORDS = HEAD_DIM // 2  # 32-bit words of a head's row; each holds two bfloat16


def make_encoder_attention(isa: Isa) -> Any:
    """Return the kernel. Threads share out the tiles of queries of all heads."""
    tile_rows, columns_per_tile = isa.layout.product_rows, isa.layout.tile_columns
    in_vectors = isa.matrix_unit is None
    multiply_tile = make_float_tile(isa, isa.dot_bfloat16) if in_vectors else make_bfloat16_matrix_tile(isa)
    prepare_thread, release_thread = make_prepare_thread(isa), make_release_thread(isa)
    exp_scores, pack_keys_and_values = make_exp_scores_to_bfloat16(isa), _make_pack_keys_and_values(isa)

    def encoder_attention(data):
        args = carray(data, (6,))
        n_positions, n_heads, scratch_bytes = args[3], args[4], args[5]
        heads = carray(pointer(args[0], np.uint32), (n_positions, 3, n_heads, _HEAD_WORDS))
        result = carray(pointer(args[1], np.uint16), (n_positions, n_heads, HEAD_DIM))
        thread = np.int64(thread_number())
        n_panels = (n_positions + columns_per_tile - 1) // columns_per_tile
        n_keys = n_panels * columns_per_tile
        keys_at = args[2] + thread * scratch_bytes
        values_at = keys_at + 2 * n_keys * HEAD_DIM
        scores_at = values_at + 2 * n_keys * HEAD_DIM
        weights_at = scores_at + 4 * tile_rows * n_keys
        queries_at = weights_at + 2 * tile_rows * n_keys
        sums_at = queries_at + 2 * tile_rows * HEAD_DIM
        keys = carray(pointer(keys_at, np.uint32), (n_panels, _HEAD_WORDS, columns_per_tile))
        values = carray(pointer(values_at, np.uint16), (n_keys // 2, HEAD_DIM, 2))
        scores = carray(pointer(scores_at, np.float32), (tile_rows, n_keys))
        queries = carray(pointer(queries_at, np.uint32), (tile_rows, _HEAD_WORDS))
        sums = carray(pointer(sums_at, np.float32), (tile_rows, HEAD_DIM))
        totals = np.empty(tile_rows, np.float32)
        queries[:] = np.uint32(0)
        n_tiles = (n_positions + tile_rows - 1) // tile_rows
        n_tasks, packed_head = n_heads * n_tiles, -1
        prepare_thread()
        for task in tasks_of_thread(data, 6, n_tasks):
            head, begin = task // n_tiles, task % n_tiles * tile_rows
            if head != packed_head:
                pack_keys_and_values(heads, head, keys, values)
                packed_head = head
            n_rows = min(tile_rows, n_positions - begin)
            for row in range(n_rows):
                queries[row] = heads[begin + row, 0, head]
            for panel in range(n_panels):
                multiply_tile(
                    queries_at, 2 * HEAD_DIM,
                    keys_at + panel * 2 * HEAD_DIM * columns_per_tile, _HEAD_WORDS,
                    scores_at + panel * 4 * columns_per_tile, 4 * n_keys,
                )  # fmt: skip
            scores[:, n_positions:] = MASKED_SCORE
            for row in range(tile_rows):
                totals[row] = exp_scores(scores_at + row * 4 * n_keys, weights_at + row * 2 * n_keys, n_panels)
            multiply_tile(weights_at, 2 * n_keys, values_at, n_keys // 2, sums_at, 4 * HEAD_DIM)
            for row in range(n_rows):
                _write_mean(sums[row], totals[row], result[begin + row, head])
        release_thread()

    return encoder_attention


def _make_pack_keys_and_values(isa: Isa) -> Any:
    """Return the function that lays out a head's keys and values as the columns of tiles.

    heads: words, shape = (n_positions, 3, n_heads, _HEAD_WORDS). keys: words, shape = (n_panels, _HEAD_WORDS,
    columns_per_tile). values: bfloat16, shape = (n_keys / 2, HEAD_DIM, 2): a word holds two positions; those after
    the last position become 0.
    """
    columns_per_tile = isa.layout.tile_columns

    @compiled
    def pack_keys_and_values(heads, head, keys, values):

        for n in range(len(heads)):
            panel, column = n // columns_per_tile, n % columns_per_tile
            for word in range(_HEAD_WORDS):
                keys[panel, word, column] = heads[n, 1, head, word]
                value_pair = heads[n, 2, head, word]
                values[n // 2, 2 * word, n % 2] = np.uint16(value_pair)
                values[n // 2, 2 * word + 1, n % 2] = np.uint16(value_pair >> np.uint32(16))
        for n in range(len(heads), 2 * len(values)):
            values[n // 2, :, n % 2] = np.uint16(0)

    return pack_keys_and_values


@compiled
def _write_mean(sums, total, result):
    """Write a query's weighted mean of the values. total: the sum of the weights."""
    factor = np.float32(1) / total
    for d in range(HEAD_DIM):
        result[d] = to_bfloat16(sums[d] * factor)
