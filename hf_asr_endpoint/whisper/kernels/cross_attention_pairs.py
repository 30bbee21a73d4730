"""Attention of a few query rows to windows' keys and values in 8-bit integers, by dot products of pairs.

The course and the data are those of `cross_attention`. Keys and values are widened to 16 bits while they are
loaded; queries and attention weights have 16 bits from the start.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import carray

from hf_asr_endpoint.whisper.kernels.compile import compiled
from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM, MAX_INT8, MAX_INT16
from hf_asr_endpoint.whisper.kernels.scalar import maximum, pointer, tasks_of_thread, thread_number, to_int32
from hf_asr_endpoint.whisper.kernels.softmax import MASKED_SCORE, make_weigh_in_int16
from hf_asr_endpoint.whisper.kernels.tile import load_widened_pairs, make_pair_tile

_MIN_MAGNITUDE = np.float32(1e-20)  # of a query, so that its scale is never 0


def make_cross_attention_pairs(isa: Isa) -> Any:
    """Return the kernel. Threads share out the heads of windows, whose keys stay in cache for all rows."""
    assert isa.layout.activations == torch.float32
    tile_rows, columns_per_tile = isa.layout.tile_rows, isa.layout.tile_columns
    score_panels, average_values = _make_score_panels(isa), _make_average_values(isa)
    weigh = make_weigh_in_int16(isa, MAX_INT8)

    def cross_attention(data):
        args = carray(data, (9,))
        n_rows, n_heads, n_windows, scratch_bytes = args[5], args[6], args[7], args[8]
        queries = carray(pointer(args[0], np.float32), (n_rows, n_heads, HEAD_DIM))
        result = carray(pointer(args[1], np.float32), (n_rows, n_heads, HEAD_DIM))
        order = carray(pointer(args[2], np.int64), (n_rows,))
        windows = carray(pointer(args[3], np.int64), (n_windows, 4))
        thread = np.int64(thread_number())
        quantized_at = args[4] + thread * scratch_bytes
        means_at = quantized_at + 2 * tile_rows * HEAD_DIM
        scores_at = means_at + 4 * tile_rows * HEAD_DIM
        quantized = carray(pointer(quantized_at, np.int16), (tile_rows, HEAD_DIM))
        means = carray(pointer(means_at, np.float32), (tile_rows, HEAD_DIM))
        row_scales = np.zeros(tile_rows, np.float32)
        row_scales_at = np.int64(row_scales.ctypes.data)
        quantized[:] = np.int16(0)
        n_tasks = n_windows * n_heads
        for task in tasks_of_thread(data, 9, n_tasks):
            window, head = windows[task // n_heads], task % n_heads
            n_positions = window[1]
            n_panels = (n_positions + columns_per_tile - 1) // columns_per_tile
            n_keys = n_panels * columns_per_tile
            weights_at = scores_at + 4 * tile_rows * n_keys
            scores = carray(pointer(scores_at, np.float32), (tile_rows, n_keys))
            keys_at = window[0] + head * n_keys * HEAD_DIM
            values_at = keys_at + n_heads * n_keys * HEAD_DIM
            scales_at = window[0] + 2 * n_heads * n_keys * HEAD_DIM
            scales = carray(pointer(scales_at, np.float32), (2, n_heads, HEAD_DIM))
            value_scales_at = scales_at + 4 * HEAD_DIM * (n_heads + head)
            for first in range(window[2], window[3], tile_rows):
                n_queries = min(tile_rows, window[3] - first)
                for n in range(n_queries):
                    row_scales[n] = _quantize_query(queries[order[first + n], head], scales[0, head], quantized[n])
                score_panels(n_queries, n_panels, quantized_at, keys_at, row_scales_at, scores_at)
                for n in range(n_queries):
                    scores[n, n_positions:] = MASKED_SCORE
                    row_scales[n] = weigh(scores_at + 4 * n * n_keys, weights_at + 2 * n * n_keys, n_panels)
                average_values(n_queries, weights_at, n_keys, values_at, row_scales_at, value_scales_at, means_at)
                for n in range(n_queries):
                    result[order[first + n], head] = means[n]

    return cross_attention


@compiled
def _quantize_query(query, key_scales, quantized):
    """Fold the keys' scales into a query and write it as 16-bit integers; return their scale."""
    magnitude = _MIN_MAGNITUDE
    for d in range(HEAD_DIM):
        magnitude = maximum(magnitude, abs(query[d] * key_scales[d]))
    factor = np.float32(MAX_INT16) / magnitude
    for d in range(HEAD_DIM):
        quantized[d] = np.int16(to_int32(np.rint(query[d] * key_scales[d] * factor)))
    return magnitude / np.float32(MAX_INT16)


def _make_score_panels(isa: Isa) -> Any:
    """Return the function that writes the queries' scores. A single query has a tile of one row."""
    columns_per_tile = isa.layout.tile_columns
    one, whole = (
        make_pair_tile(isa, n_rows=n, load_columns=load_widened_pairs) for n in (1, isa.layout.tile_rows)
    )

    @compiled
    def score_panels(n_queries, n_panels, queries_at, keys_at, row_scales_at, scores_at):
        row_bytes, n_words, score_bytes = 2 * HEAD_DIM, HEAD_DIM // 2, 4 * n_panels * columns_per_tile
        for panel in range(n_panels):
            panel_at = keys_at + panel * HEAD_DIM * columns_per_tile
            panel_scores_at = scores_at + panel * 4 * columns_per_tile
            if n_queries == 1:
                one(queries_at, row_bytes, panel_at, n_words, row_scales_at, 0, panel_scores_at, score_bytes)
            else:
                whole(queries_at, row_bytes, panel_at, n_words, row_scales_at, 0, panel_scores_at, score_bytes)

    return score_panels


def _make_average_values(isa: Isa) -> Any:
    """Return the function that averages a head's values for each query; float32, shape = (n_queries, HEAD_DIM).

    A single query's tile has all channels, so that the values are read in the order of their addresses.
    """
    columns_per_tile = isa.layout.tile_columns
    one, whole = (
        make_pair_tile(
            isa,
            n_rows=n_rows,
            n_vectors=n_columns // isa.n_lanes,
            load_columns=load_widened_pairs,
            stored_columns=HEAD_DIM,
            has_column_scales=True,
        )
        for n_rows, n_columns in ((1, HEAD_DIM), (isa.layout.tile_rows, columns_per_tile))
    )

    @compiled
    def average_values(n_queries, weights_at, n_keys, values_at, row_scales_at, value_scales_at, means_at):
        row_bytes, n_words, mean_bytes = 2 * n_keys, n_keys // 2, 4 * HEAD_DIM
        if n_queries == 1:
            one(weights_at, row_bytes, values_at, n_words, row_scales_at, value_scales_at, means_at, mean_bytes)
            return
        for left in range(0, HEAD_DIM, columns_per_tile):
            whole(
                weights_at, row_bytes, values_at + 2 * left, n_words,
                row_scales_at, value_scales_at + 4 * left, means_at + 4 * left, mean_bytes,
            )  # fmt: skip

    return average_values
