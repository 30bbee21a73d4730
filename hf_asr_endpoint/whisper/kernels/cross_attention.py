"""Attention of a few query rows to windows' keys and values in 8-bit integers.

A step of decoding reads every running window's keys and values once: what counts is how many bytes those have,
and that nothing else takes as long as the reading. Queries and weights are taken apart into upper and lower bytes,
which loses nothing to speak of: keys and values are multiplied by both while they are at hand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from hf_asr_endpoint.whisper.kernels.compile import compiled
from hf_asr_endpoint.whisper.kernels.launch import on_threads
from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM, MAX_QUERIES, N_COLUMNS, N_ROWS, ZERO_POINT, Kernel
from hf_asr_endpoint.whisper.kernels.scalar import larger, pointer, thread_count, thread_number, to_int32, widen
from hf_asr_endpoint.whisper.kernels.simd import (
    FLOAT,
    FLOATS,
    INT32,
    INT64,
    N_LANES,
    WORDS,
    FloatVector,
    advanced,
    load_floats,
    load_to_all,
    moved,
    store,
    words,
)
from hf_asr_endpoint.whisper.kernels.softmax import MAX_WEIGHT, NO_SCORE, softmax_to_bytes
from hf_asr_endpoint.whisper.kernels.tile import PARTS, UNSIGNED_COLUMNS, UNSIGNED_ROWS, add_products

_WORDS_OF_HEAD = HEAD_DIM // 4
_MAX_INT16_QUERY = np.float32(32_639)  # the largest number whose upper and lower byte, both signed, are above -129
_MIN_MAGNITUDE = np.float32(1e-20)  # of a query, instead of 0


def compile_kernel() -> Kernel:
    """Return the kernel; see `_cross_attention` for its data."""
    return on_threads(_cross_attention)


def _score(n_queries: int) -> Any:
    """Return what writes the scores of N_COLUMNS positions, float32.

    It takes addresses: of the queries' upper and lower bytes, by turns, shape = (2 × n_queries, HEAD_DIM), of the
    keys, of what is to be taken off each query's sums, int32, and their units, float32, and of the scores, and how
    many bytes a query's are from the next one's.
    """

    @intrinsic
    def score(typing: Any, queries: Any, keys: Any, excess: Any, units: Any, scores: Any, score_bytes: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            queries, keys, excess, units, scores, score_bytes = args
            operands = (queries, ir.Constant(INT64, HEAD_DIM), keys, ir.Constant(INT64, _WORDS_OF_HEAD))
            totals = add_products(builder, UNSIGNED_COLUMNS, WORDS, operands, n_rows=2 * n_queries)
            for query in range(n_queries):
                too_much = load_to_all(builder, advanced(builder, excess, 4 * query), INT32, WORDS)
                unit = FloatVector(
                    builder, load_to_all(builder, advanced(builder, units, 4 * query), FLOAT, FLOATS)
                )
                for part in range(PARTS):
                    upper = builder.shl(totals[2 * query, part], words(8))
                    total = builder.sub(builder.add(upper, totals[2 * query + 1, part]), too_much)
                    place = advanced(builder, moved(builder, scores, score_bytes, query), part * 4 * N_LANES)
                    store(builder, place, (FloatVector(builder, builder.sitofp(total, FLOATS)) * unit).value)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 6), generate

    return score


def _average(n_queries: int) -> Any:
    """Return what writes the weighted means of a head's values, bfloat16, shape = (n_queries, HEAD_DIM).

    It takes addresses: of the weights' upper and lower bytes, by turns, and how many bytes these rows are apart,
    of the values and how many words of them there are, of the units of the queries' sums and of the values,
    float32, and of what is written.
    """

    @intrinsic
    def average(
        typing: Any, weights: Any, row_bytes: Any, values: Any, n_words: Any, units: Any, scales: Any, written: Any
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            units, scales, written = args[4:]
            totals = add_products(builder, UNSIGNED_ROWS, WORDS, args[:4], n_rows=2 * n_queries)
            for query in range(n_queries):
                unit = FloatVector(
                    builder, load_to_all(builder, advanced(builder, units, 4 * query), FLOAT, FLOATS)
                )
                for part in range(PARTS):
                    upper, lower = (
                        FloatVector(builder, builder.sitofp(totals[2 * query + n, part], FLOATS)) for n in range(2)
                    )
                    scale = load_floats(builder, advanced(builder, scales, part * 4 * N_LANES))
                    place = advanced(builder, written, 2 * (query * HEAD_DIM + part * N_LANES))
                    store(builder, place, ((upper * 256.0 + lower) * unit * scale).narrowed())
            return context.get_dummy_value()

        return types.void(*[types.int64] * 7), generate

    return average


_score_one, _score_all = _score(1), _score(MAX_QUERIES)
_average_one, _average_all = _average(1), _average(MAX_QUERIES)


@compiled
def _take_apart(query, scales, upper, lower):
    """Write a query, in units of the keys' scales, as bytes; return its sum in, and the size of, its own unit."""
    most = _MIN_MAGNITUDE
    for d in range(HEAD_DIM):
        most = larger(most, abs(widen(query[d]) * scales[d]))
    per_unit = _MAX_INT16_QUERY / most
    total = 0
    for d in range(HEAD_DIM):
        digits = to_int32(np.rint(widen(query[d]) * scales[d] * per_unit))
        above = (digits + 128) >> 8
        upper[d] = np.int8(above)
        lower[d] = np.int8(digits - (above << 8))
        total += digits
    return total, most / _MAX_INT16_QUERY


@compiled
def _score_panels(n_queries, n_panels, bytes_at, keys_at, excess_at, units_at, scores_at):
    score_bytes = 4 * n_panels * N_COLUMNS
    for panel in range(n_panels):
        panel_at, panel_scores_at = keys_at + panel * HEAD_DIM * N_COLUMNS, scores_at + panel * 4 * N_COLUMNS
        if n_queries == 1:
            _score_one(bytes_at, panel_at, excess_at, units_at, panel_scores_at, score_bytes)
        else:
            _score_all(bytes_at, panel_at, excess_at, units_at, panel_scores_at, score_bytes)


def _cross_attention(data):
    """Attend from rows to windows, a head of a window at a time, so that its keys stay in the cache for all rows.

    data: addresses of queries and of what is written, bfloat16, shape = (n_rows, n_heads, HEAD_DIM); of the
    rows' order, int64; of windows, int64, shape = (n_windows, 4): address, number of positions, first and last + 1
    of its rows in that order; of memory to work in, shape = (N_CORES, room); n_rows, n_heads, n_windows, room.
    At a window's address: keys, then values, as `int8_columns` writes them.
    """
    args = carray(data, (9,))
    n_rows, n_heads, n_windows, room = args[5], args[6], args[7], args[8]
    queries = carray(pointer(args[0], np.uint16), (n_rows, n_heads, HEAD_DIM))
    attended = carray(pointer(args[1], np.uint16), (n_rows, n_heads, HEAD_DIM))
    order = carray(pointer(args[2], np.int64), (n_rows,))
    windows = carray(pointer(args[3], np.int64), (n_windows, 4))
    thread, n_threads = np.int64(thread_number()), np.int64(thread_count())
    bytes_at = args[4] + thread * room
    found_at = bytes_at + N_ROWS * HEAD_DIM
    scores_at = found_at + 2 * MAX_QUERIES * HEAD_DIM
    apart = carray(pointer(bytes_at, np.int8), (N_ROWS, HEAD_DIM))
    found = carray(pointer(found_at, np.uint16), (MAX_QUERIES, HEAD_DIM))
    excess, units = np.zeros(MAX_QUERIES, np.int32), np.zeros(MAX_QUERIES, np.float32)
    excess_at, units_at = np.int64(excess.ctypes.data), np.int64(units.ctypes.data)
    apart[:] = np.int8(0)
    n_tasks = n_windows * n_heads
    for task in range(n_tasks * thread // n_threads, n_tasks * (thread + 1) // n_threads):
        window, head = windows[task // n_heads], task % n_heads
        n_positions = window[1]
        n_panels = (n_positions + N_COLUMNS - 1) // N_COLUMNS
        n_keys = n_panels * N_COLUMNS
        weights_at = scores_at + 4 * MAX_QUERIES * n_keys
        scores = carray(pointer(scores_at, np.float32), (MAX_QUERIES, n_keys))
        keys_at = window[0] + head * n_keys * HEAD_DIM
        values_at = keys_at + n_heads * n_keys * HEAD_DIM
        scales_at = window[0] + 2 * n_heads * n_keys * HEAD_DIM
        scales = carray(pointer(scales_at, np.float32), (2, n_heads, HEAD_DIM))
        value_scales_at = scales_at + 4 * HEAD_DIM * (n_heads + head)
        for first in range(window[2], window[3], MAX_QUERIES):
            n_queries = min(MAX_QUERIES, window[3] - first)
            for n in range(n_queries):
                query = queries[order[first + n], head]
                total, units[n] = _take_apart(query, scales[0, head], apart[2 * n], apart[2 * n + 1])
                excess[n] = np.int32(total * ZERO_POINT)
            _score_panels(n_queries, n_panels, bytes_at, keys_at, excess_at, units_at, scores_at)
            for n in range(n_queries):
                scores[n, n_positions:] = NO_SCORE
                upper_at = weights_at + 2 * n * n_keys
                total = softmax_to_bytes(scores_at + 4 * n * n_keys, upper_at, upper_at + n_keys, n_panels)
                units[n] = np.float32(1) / (np.float32(MAX_WEIGHT) * total)
            if n_queries == 1:
                _average_one(weights_at, n_keys, values_at, n_keys // 4, units_at, value_scales_at, found_at)
            else:
                _average_all(weights_at, n_keys, values_at, n_keys // 4, units_at, value_scales_at, found_at)
            for n in range(n_queries):
                attended[order[first + n], head] = found[n]
