"""Attention between all positions of a window, in float32, where its products are as fast as those of pairs.

The course is that of `encoder_attention`. Values are multiplied in the order in which they lie; keys are stored as
the columns of tiles. The weights take the place of the scores.

data: the addresses of queries, keys and values, float32, shape = (n_positions, 3, n_heads, HEAD_DIM); of the
result, float32, shape = (n_positions, n_heads, HEAD_DIM); of scratch memory, shape = (N_CORES, scratch_bytes);
then n_positions, n_heads and scratch_bytes, see `layout`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import carray

from hf_asr_endpoint.whisper.kernels.compile import compiled
from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM
from hf_asr_endpoint.whisper.kernels.scalar import pointer, tasks_of_thread, thread_number
from hf_asr_endpoint.whisper.kernels.softmax import MASKED_SCORE, make_exp_scores
from hf_asr_endpoint.whisper.kernels.tile import make_float_tile


def make_encoder_attention_float32(isa: Isa) -> Any:
    """Return the kernel. Threads share out the tiles of queries of all heads."""
    assert isa.layout.activations == torch.float32
    tile_rows, columns_per_tile = isa.layout.tile_rows, isa.layout.tile_columns
    score_panel = make_float_tile(isa, isa.dot_float32)
    average_channels = make_float_tile(isa, isa.dot_float32, stored_columns=HEAD_DIM)
    exp_scores, pack_keys_and_values = make_exp_scores(isa), _make_pack_keys_and_values(isa)

    def encoder_attention(data):
        args = carray(data, (6,))
        n_positions, n_heads, scratch_bytes = args[3], args[4], args[5]
        heads = carray(pointer(args[0], np.float32), (n_positions, 3, n_heads, HEAD_DIM))
        result = carray(pointer(args[1], np.float32), (n_positions, n_heads, HEAD_DIM))
        thread = np.int64(thread_number())
        n_panels = (n_positions + columns_per_tile - 1) // columns_per_tile
        n_keys = n_panels * columns_per_tile
        keys_at = args[2] + thread * scratch_bytes
        values_at = keys_at + 4 * n_keys * HEAD_DIM
        scores_at = values_at + 4 * n_keys * HEAD_DIM
        queries_at = scores_at + 4 * tile_rows * n_keys
        sums_at = queries_at + 4 * tile_rows * HEAD_DIM
        keys = carray(pointer(keys_at, np.float32), (n_panels, HEAD_DIM, columns_per_tile))
        values = carray(pointer(values_at, np.float32), (n_keys, HEAD_DIM))
        scores = carray(pointer(scores_at, np.float32), (tile_rows, n_keys))
        queries = carray(pointer(queries_at, np.float32), (tile_rows, HEAD_DIM))
        sums = carray(pointer(sums_at, np.float32), (tile_rows, HEAD_DIM))
        totals = np.empty(tile_rows, np.float32)
        queries[:] = np.float32(0)
        n_tiles = (n_positions + tile_rows - 1) // tile_rows
        n_tasks, packed_head = n_heads * n_tiles, -1
        for task in tasks_of_thread(data, 6, n_tasks):
            head, begin = task // n_tiles, task % n_tiles * tile_rows
            if head != packed_head:
                pack_keys_and_values(heads, head, keys, values)
                packed_head = head
            n_rows = min(tile_rows, n_positions - begin)
            for row in range(n_rows):
                queries[row] = heads[begin + row, 0, head]
            for panel in range(n_panels):
                score_panel(
                    queries_at, 4 * HEAD_DIM,
                    keys_at + panel * 4 * HEAD_DIM * columns_per_tile, HEAD_DIM,
                    scores_at + panel * 4 * columns_per_tile, 4 * n_keys,
                )  # fmt: skip
            scores[:, n_positions:] = MASKED_SCORE
            for row in range(tile_rows):
                totals[row] = exp_scores(scores_at + row * 4 * n_keys, n_panels)
            for left in range(0, HEAD_DIM, columns_per_tile):
                average_channels(
                    scores_at, 4 * n_keys, values_at + 4 * left, n_keys, sums_at + 4 * left, 4 * HEAD_DIM
                )
            for row in range(n_rows):
                _write_mean(sums[row], totals[row], result[begin + row, head])

    return encoder_attention


def _make_pack_keys_and_values(isa: Isa) -> Any:
    """Return the function that lays out a head's keys and values as the columns of tiles.

    heads: shape = (n_positions, 3, n_heads, HEAD_DIM). keys: shape = (n_panels, HEAD_DIM, columns_per_tile).
    values: shape = (n_keys, HEAD_DIM); those after the last position become 0.
    """
    columns_per_tile = isa.layout.tile_columns

    @compiled
    def pack_keys_and_values(heads, head, keys, values):
        for n in range(len(heads)):
            panel, column = n // columns_per_tile, n % columns_per_tile
            for d in range(HEAD_DIM):
                keys[panel, d, column] = heads[n, 1, head, d]
                values[n, d] = heads[n, 2, head, d]
        for n in range(len(heads), len(values)):
            values[n, :] = np.float32(0)

    return pack_keys_and_values


@compiled
def _write_mean(sums, total, result):
    """Write a query's weighted mean of the values. total: the sum of the weights."""
    factor = np.float32(1) / total
    for d in range(HEAD_DIM):
        result[d] = sums[d] * factor
