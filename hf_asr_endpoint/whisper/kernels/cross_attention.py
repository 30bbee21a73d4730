"""Attention of a few query rows to windows' keys and values in 8-bit integers, by dot products of bytes.

A decode step reads the keys and values of every running window once, so its time is that of reading these bytes.
Queries and attention weights are quantized to 16 bits and split into upper and lower bytes, which costs almost no
precision: keys and values are multiplied by both bytes while they are in registers.

data: the addresses of queries and of the result, activations, shape = (n_rows, n_heads, HEAD_DIM); of the rows'
order, int64, shape = (n_rows,), in which the rows of a window follow one another; of windows, int64, shape =
(n_windows, 4): the address, the number of positions, and the range of rows in that order, begin and end; of
scratch memory, shape = (N_CORES, scratch_bytes); then n_rows, n_heads, n_windows and scratch_bytes, see `layout`.
At a window's address are keys and values as `quantize_cross_kv` writes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from hf_asr_endpoint.whisper.kernels.compile import compiled, inlined
from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM, MAX_BYTE_PAIR
from hf_asr_endpoint.whisper.kernels.quantize_rows import make_pair_rows
from hf_asr_endpoint.whisper.kernels.scalar import (
    activation_type,
    maximum,
    pointer,
    tasks_of_thread,
    thread_number,
    to_float32,
    to_int32,
)
from hf_asr_endpoint.whisper.kernels.simd import FLOAT, INT32, INT64, Simd
from hf_asr_endpoint.whisper.kernels.softmax import MASKED_SCORE, make_exp_scores_to_bytes
from hf_asr_endpoint.whisper.kernels.tile import accumulate_bytes

_MAX_INT16 = np.float32(MAX_BYTE_PAIR)
_MIN_MAGNITUDE = np.float32(1e-20)  # of a query, so that its scale is never 0


def make_cross_attention(isa: Isa) -> Any:
    """Return the kernel. Threads share out the heads of windows, whose keys stay in cache for all rows."""
    activation, activation_size = activation_type(isa), isa.layout.activations.itemsize
    tile_rows, columns_per_tile = isa.layout.tile_rows, isa.layout.tile_columns
    queries_per_tile = isa.layout.queries_per_tile
    zero_point, max_weight = isa.layout.zero_point, isa.layout.max_weight
    average_one, average_all = _make_average(isa, 1), _make_average(isa, queries_per_tile)
    score_panels, exp_scores = _make_score_panels(isa), make_exp_scores_to_bytes(isa)

    def cross_attention(data):
        args = carray(data, (9,))
        n_rows, n_heads, n_windows, scratch_bytes = args[5], args[6], args[7], args[8]
        queries = carray(pointer(args[0], activation), (n_rows, n_heads, HEAD_DIM))
        result = carray(pointer(args[1], activation), (n_rows, n_heads, HEAD_DIM))
        order = carray(pointer(args[2], np.int64), (n_rows,))
        windows = carray(pointer(args[3], np.int64), (n_windows, 4))
        thread = np.int64(thread_number())
        quantized_at = args[4] + thread * scratch_bytes
        means_at = quantized_at + tile_rows * HEAD_DIM
        scores_at = means_at + activation_size * queries_per_tile * HEAD_DIM
        quantized = carray(pointer(quantized_at, np.int8), (tile_rows, HEAD_DIM))
        means = carray(pointer(means_at, activation), (queries_per_tile, HEAD_DIM))
        corrections, row_scales = np.zeros(queries_per_tile, np.int32), np.zeros(queries_per_tile, np.float32)
        corrections_at, row_scales_at = np.int64(corrections.ctypes.data), np.int64(row_scales.ctypes.data)
        quantized[:] = np.int8(0)
        n_tasks = n_windows * n_heads
        for task in tasks_of_thread(data, 9, n_tasks):
            window, head = windows[task // n_heads], task % n_heads
            n_positions = window[1]
            n_panels = (n_positions + columns_per_tile - 1) // columns_per_tile
            n_keys = n_panels * columns_per_tile
            weights_at = scores_at + 4 * queries_per_tile * n_keys
            scores = carray(pointer(scores_at, np.float32), (queries_per_tile, n_keys))
            keys_at = window[0] + head * n_keys * HEAD_DIM
            values_at = keys_at + n_heads * n_keys * HEAD_DIM
            scales_at = window[0] + 2 * n_heads * n_keys * HEAD_DIM
            scales = carray(pointer(scales_at, np.float32), (2, n_heads, HEAD_DIM))
            value_scales_at = scales_at + 4 * HEAD_DIM * (n_heads + head)
            for first in range(window[2], window[3], queries_per_tile):
                n_queries = min(queries_per_tile, window[3] - first)
                for n in range(n_queries):
                    query = queries[order[first + n], head]
                    total, row_scales[n] = _quantize_query(
                        query, scales[0, head], quantized[2 * n], quantized[2 * n + 1]
                    )
                    corrections[n] = np.int32(total * zero_point)
                score_panels(n_queries, n_panels, quantized_at, keys_at, corrections_at, row_scales_at, scores_at)
                for n in range(n_queries):
                    scores[n, n_positions:] = MASKED_SCORE
                    upper_at = weights_at + 2 * n * n_keys
                    total = exp_scores(scores_at + 4 * n * n_keys, upper_at, upper_at + n_keys, n_panels)
                    row_scales[n] = np.float32(1) / (np.float32(max_weight) * total)
                if n_queries == 1:
                    average_one(weights_at, n_keys, values_at, row_scales_at, value_scales_at, means_at)
                else:
                    average_all(weights_at, n_keys, values_at, row_scales_at, value_scales_at, means_at)
                for n in range(n_queries):
                    result[order[first + n], head] = means[n]

    return cross_attention


@compiled
def _quantize_query(query, key_scales, upper, lower):
    """Fold the keys' scales into a query and write it as 16-bit integers, split into signed upper and lower bytes.

    Returns the sum of the integers, for the zero-point correction, and their scale.
    """
    magnitude = _MIN_MAGNITUDE
    for d in range(HEAD_DIM):
        magnitude = maximum(magnitude, abs(to_float32(query[d]) * key_scales[d]))
    factor = _MAX_INT16 / magnitude
    total = 0
    for d in range(HEAD_DIM):
        value = to_int32(np.rint(to_float32(query[d]) * key_scales[d] * factor))
        upper_byte = (value + 128) >> 8
        upper[d] = np.int8(upper_byte)
        lower[d] = np.int8(value - (upper_byte << 8))
        total += value
    return total, magnitude / _MAX_INT16


def _make_score_panels(isa: Isa) -> Any:
    score_one, score_all = _make_score_panel(isa, 1), _make_score_panel(isa, isa.layout.queries_per_tile)
    columns_per_tile, pair_rows = isa.layout.tile_columns, make_pair_rows(isa)

    @compiled
    def score_panels(n_queries, n_panels, quantized_at, keys_at, corrections_at, row_scales_at, scores_at):
        pair_rows(quantized_at, 2 * n_queries, HEAD_DIM)
        score_bytes = 4 * n_panels * columns_per_tile
        for panel in range(n_panels):
            panel_keys_at = keys_at + panel * HEAD_DIM * columns_per_tile
            panel_scores_at = scores_at + panel * 4 * columns_per_tile
            if n_queries == 1:
                score_one(quantized_at, panel_keys_at, corrections_at, row_scales_at, panel_scores_at, score_bytes)
            else:
                score_all(quantized_at, panel_keys_at, corrections_at, row_scales_at, panel_scores_at, score_bytes)

    return score_panels


def _make_score_panel(isa: Isa, n_queries: int) -> Any:
    """Return an intrinsic that writes the scores of a panel of positions, float32.

    It takes 64-bit integers: the addresses of the queries, shape = (2 × n_queries, HEAD_DIM), the upper bytes of
    each before its lower ones, paired if the layout says so; of the panel's keys; of the queries'
    zero-point corrections, int32, and scales, float32; and of the scores; then the bytes from the scores of one
    query to those of the next.
    """
    head_words = HEAD_DIM // isa.layout.elements_per_word

    @intrinsic
    def score_panel(
        typing: Any, queries: Any, keys: Any, corrections: Any, scales: Any, scores: Any, score_bytes: Any
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            simd = Simd(isa, builder)
            queries, keys, corrections, scales, scores, score_bytes = args
            operands = (queries, ir.Constant(INT64, HEAD_DIM), keys, ir.Constant(INT64, head_words))
            sums = accumulate_bytes(simd, isa.dot_bytes_of_unsigned_columns, operands, n_rows=2 * n_queries)
            for query in range(n_queries):
                correction_at = simd.add_bytes(corrections, 4 * query)
                correction = simd.load_broadcast(correction_at, INT32, simd.int32_vector)
                scale_at = simd.add_bytes(scales, 4 * query)
                scale = simd.vector(simd.load_broadcast(scale_at, FLOAT, simd.float_vector))
                for index in range(isa.vectors_per_row):
                    upper = builder.shl(sums[2 * query, index], simd.int32s(8))
                    total = builder.sub(builder.add(upper, sums[2 * query + 1, index]), correction)
                    query_at = simd.add_scaled(scores, score_bytes, query)
                    score = simd.to_floats(total) * scale
                    simd.store(simd.add_bytes(query_at, index * 4 * isa.n_lanes), score.value)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 6), generate

    return score_panel


def _make_average(isa: Isa, n_queries: int) -> Any:
    """Return the function that averages a head's values for each query; shape = (n_queries, HEAD_DIM).

    It takes the address of the weights, the upper bytes of each query before its lower ones, and their number; and
    the addresses of the values, of the weights' scales, one for each query, of the values' scales, float32, and of
    the result.
    """
    columns_per_tile, element_bytes = isa.layout.tile_columns, isa.layout.activations.itemsize
    word_bytes, pair_rows = isa.layout.elements_per_word, make_pair_rows(isa)
    average_channels = _make_average_channels(isa, n_queries)

    @inlined
    def average(weights_at, n_keys, values_at, weight_scales_at, value_scales_at, means_at):
        pair_rows(weights_at, 2 * n_queries, n_keys)
        for left in range(0, HEAD_DIM, columns_per_tile):
            average_channels(
                weights_at, n_keys, values_at + word_bytes * left, n_keys // word_bytes,
                weight_scales_at, value_scales_at + 4 * left, means_at + element_bytes * left,
            )  # fmt: skip

    return average


def _make_average_channels(isa: Isa, n_queries: int) -> Any:
    """Return an intrinsic that averages a tile's columns of a head's values.

    It takes 64-bit integers: those of `accumulate_tile`; then the addresses of the weights' scales, of the values'
    scales and of the result, see `_make_average`.
    """
    element_bytes = isa.layout.activations.itemsize

    @intrinsic
    def average_channels(
        typing: Any,
        weights: Any,
        row_bytes: Any,
        values: Any,
        n_words: Any,
        weight_scales: Any,
        value_scales: Any,
        result: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            simd = Simd(isa, builder)
            weight_scales, value_scales, result = args[4:]
            sums = accumulate_bytes(simd, isa.dot_bytes, args[:4], n_rows=2 * n_queries, stored_columns=HEAD_DIM)
            for query in range(n_queries):
                weight_scale_at = simd.add_bytes(weight_scales, 4 * query)
                weight_scale = simd.vector(simd.load_broadcast(weight_scale_at, FLOAT, simd.float_vector))
                for index in range(isa.vectors_per_row):
                    upper, lower = (simd.to_floats(sums[2 * query + n, index]) for n in range(2))
                    value_scale = simd.load_floats(simd.add_bytes(value_scales, index * 4 * isa.n_lanes))
                    mean = (upper * 256.0 + lower) * weight_scale * value_scale
                    mean_at = simd.add_bytes(result, element_bytes * (query * HEAD_DIM + index * isa.n_lanes))
                    simd.store_activations(mean_at, mean)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 7), generate

    return average_channels
