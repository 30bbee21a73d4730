"""Attention between all positions of a window, in 16-bit integers, for processors that do not compute in bfloat16.

The course is that of `encoder_attention`. Keys and values have one scale for each head, queries one for each row.
Ranges are as wide as sums in 32 bits allow: a score's 64 products of two numbers up to MAX_SCORED, and a mean's
products of numbers up to MAX_AVERAGED with weights whose sum is limited: so each row of weights has a factor of
its own. The result is three times as precise as in bfloat16.

data: the addresses of queries, keys and values, float32, shape = (n_positions, 3, n_heads, HEAD_DIM); of the
result, float32, shape = (n_positions, n_heads, HEAD_DIM); of scratch memory, shape = (N_CORES, scratch_bytes);
then n_positions, n_heads and scratch_bytes, see `layout`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import carray

from hf_asr_endpoint.whisper.kernels.compile import compiled
from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM, MAX_INT32
from hf_asr_endpoint.whisper.kernels.scalar import maximum, pointer, tasks_of_thread, thread_number, to_int32
from hf_asr_endpoint.whisper.kernels.softmax import MASKED_SCORE, make_weigh_in_int16
from hf_asr_endpoint.whisper.kernels.tile import make_pair_tile

MAX_SCORED = math.isqrt(MAX_INT32 // HEAD_DIM)  # 5,792
MAX_AVERAGED = 4_095

_MIN_MAGNITUDE = np.float32(1e-20)  # so that a scale is never 0


def make_encoder_attention_pairs(isa: Isa) -> Any:
    """Return the kernel. Threads share out the tiles of queries of all heads."""
    tile_rows, columns_per_tile = isa.layout.tile_rows, isa.layout.tile_columns
    multiply_tile, weigh = make_pair_tile(isa, n_rows=tile_rows), make_weigh_in_int16(isa, MAX_AVERAGED)
    pack_keys, pack_values = _make_pack_keys(isa), _make_pack_values(isa)

    def encoder_attention(data):
        args = carray(data, (6,))
        n_positions, n_heads, scratch_bytes = args[3], args[4], args[5]
        heads = carray(pointer(args[0], np.float32), (n_positions, 3, n_heads, HEAD_DIM))
        result = carray(pointer(args[1], np.float32), (n_positions, n_heads, HEAD_DIM))
        thread = np.int64(thread_number())
        n_panels = (n_positions + columns_per_tile - 1) // columns_per_tile
        n_keys = n_panels * columns_per_tile
        keys_at = args[2] + thread * scratch_bytes
        values_at = keys_at + 2 * n_keys * HEAD_DIM
        scores_at = values_at + 2 * n_keys * HEAD_DIM
        weights_at = scores_at + 4 * tile_rows * n_keys
        queries_at = weights_at + 2 * tile_rows * n_keys
        means_at = queries_at + 2 * tile_rows * HEAD_DIM
        scores = carray(pointer(scores_at, np.float32), (tile_rows, n_keys))
        queries = carray(pointer(queries_at, np.int16), (tile_rows, HEAD_DIM))
        means = carray(pointer(means_at, np.float32), (tile_rows, HEAD_DIM))
        scales, key_scale, value_scale = np.zeros(tile_rows, np.float32), np.float32(0), np.float32(0)
        scales_at = np.int64(scales.ctypes.data)
        queries[:] = np.int16(0)
        n_tiles = (n_positions + tile_rows - 1) // tile_rows
        n_tasks, packed_head = n_heads * n_tiles, -1
        for task in tasks_of_thread(data, 6, n_tasks):
            head, begin = task // n_tiles, task % n_tiles * tile_rows
            if head != packed_head:
                key_scale = pack_keys(heads[:, 1, head], keys_at, n_panels)
                value_scale = pack_values(heads[:, 2, head], values_at, n_keys)
                packed_head = head
            n_rows = min(tile_rows, n_positions - begin)
            for row in range(n_rows):
                scales[row] = key_scale * _quantize_query(heads[begin + row, 0, head], queries[row])
            for panel in range(n_panels):
                panel_at = keys_at + panel * 2 * HEAD_DIM * columns_per_tile
                panel_scores_at = scores_at + panel * 4 * columns_per_tile
                multiply_tile(
                    queries_at, 2 * HEAD_DIM, panel_at, HEAD_DIM // 2, scales_at, 0, panel_scores_at, 4 * n_keys
                )
            scores[:, n_positions:] = MASKED_SCORE
            for row in range(tile_rows):
                weights_of_row = weights_at + row * 2 * n_keys
                scales[row] = value_scale * weigh(scores_at + row * 4 * n_keys, weights_of_row, n_panels)
            for left in range(0, HEAD_DIM, columns_per_tile):
                multiply_tile(
                    weights_at, 2 * n_keys, values_at + 2 * left * n_keys, n_keys // 2,
                    scales_at, 0, means_at + 4 * left, 4 * HEAD_DIM,
                )  # fmt: skip
            for row in range(n_rows):
                result[begin + row, head] = means[row]

    return encoder_attention


@compiled
def _quantize_query(row, quantized):
    """Write a query as integers up to MAX_SCORED; return its scale."""
    magnitude = _MIN_MAGNITUDE
    for d in range(HEAD_DIM):
        magnitude = maximum(magnitude, abs(row[d]))
    factor = np.float32(MAX_SCORED) / magnitude
    for d in range(HEAD_DIM):
        quantized[d] = np.int16(to_int32(np.rint(row[d] * factor)))
    return magnitude / np.float32(MAX_SCORED)


@compiled
def _max_magnitude(rows):
    """Return the largest magnitude of rows, shape = (n, HEAD_DIM)."""
    magnitude = _MIN_MAGNITUDE
    for n in range(len(rows)):
        row = rows[n]
        for d in range(HEAD_DIM):
            magnitude = maximum(magnitude, abs(row[d]))
    return magnitude


def _make_pack_keys(isa: Isa) -> Any:
    """Return the function that writes a head's keys as the columns of tiles, and returns their scale.

    rows: float32, shape = (n_positions, HEAD_DIM). The result: int16, shape = (n_panels, HEAD_DIM / 2,
    tile_columns, 2).
    """
    columns_per_tile = isa.layout.tile_columns

    @compiled
    def pack_keys(rows, keys_at, n_panels):
        keys = carray(pointer(keys_at, np.int16), (n_panels, HEAD_DIM // 2, columns_per_tile, 2))
        magnitude = _max_magnitude(rows)
        factor = np.float32(MAX_SCORED) / magnitude
        for n in range(len(rows)):
            row, panel, column = rows[n], n // columns_per_tile, n % columns_per_tile
            for d in range(HEAD_DIM):
                keys[panel, d // 2, column, d % 2] = np.int16(to_int32(np.rint(row[d] * factor)))
        return magnitude / np.float32(MAX_SCORED)

    return pack_keys


def _make_pack_values(isa: Isa) -> Any:
    """Return the function that writes a head's values as the columns of tiles, and returns their scale.

    rows: float32, shape = (n_positions, HEAD_DIM). The result: int16, shape = (HEAD_DIM / tile_columns, n_keys /
    2, tile_columns, 2): a word holds two positions; those after the last position become 0.
    """
    columns_per_tile = isa.layout.tile_columns
    n_panels = HEAD_DIM // columns_per_tile

    @compiled
    def pack_values(rows, values_at, n_keys):
        values = carray(pointer(values_at, np.int16), (n_panels, n_keys // 2, columns_per_tile, 2))
        magnitude = _max_magnitude(rows)
        factor = np.float32(MAX_AVERAGED) / magnitude
        for n in range(n_keys):
            for panel in range(n_panels):
                for column in range(columns_per_tile):
                    value = np.int16(0)
                    if n < len(rows):
                        value = np.int16(to_int32(np.rint(rows[n, panel * columns_per_tile + column] * factor)))
                    values[panel, n // 2, column, n % 2] = value
        return magnitude / np.float32(MAX_AVERAGED)

    return pack_values
