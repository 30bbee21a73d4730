"""Linear layers in 8-bit integers: bfloat16 activations times a quantized weight, tile by tile.

Each row of activations is quantized with its own scale, to one byte or to two. The products are exact. The
epilogue (bias, GELU or residual) runs while a tile is still in registers.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from hf_asr_endpoint.whisper.kernels.compile import compiled, inlined
from hf_asr_endpoint.whisper.kernels.layout import (
    BIAS_ADD,
    BIAS_GELU,
    TILE_COLUMNS,
    TILE_ROWS,
    WORD_BYTES,
    ZERO_POINT,
)
from hf_asr_endpoint.whisper.kernels.scalar import (
    maximum,
    pointer,
    thread_count,
    thread_number,
    to_float32,
    to_int32,
)
from hf_asr_endpoint.whisper.kernels.tile import (
    int8_tile_add,
    int8_tile_bias,
    int8_tile_gelu,
    int16_tile_add,
    int16_tile_bias,
    int16_tile_gelu,
)

MIN_ROWS_PER_THREAD = 24  # with fewer, every thread computes all rows for its share of the columns

_MAX_INT8 = np.float32(127)
_MAX_INT16 = np.float32(32_639)  # 127 × 256 + 127: both bytes fit signed 8-bit integers
_MIN_MAGNITUDE = np.float32(1e-8)  # of a row, so that its scale is never 0


def int8_gemm(data):
    """Multiply activations by a weight. Threads share out the rows, or the weight's panels when rows are few.

    data: the addresses of the activations, bfloat16, shape = (n_rows, n_in); of the weight, int8, shape =
    (n_panels, n_in / WORD_BYTES, TILE_COLUMNS, WORD_BYTES); of its columns' parameters, shape = (n_panels, 3,
    TILE_COLUMNS), see `tile`; of the residual, for BIAS_ADD, and of the result, bfloat16, shape = (n_rows, n_out);
    of scratch memory, shape = (N_CORES, scratch_bytes); then n_rows, n_in, n_out, the epilogue, activation_bytes,
    rows_per_block and scratch_bytes, see `layout`.
    """
    args = carray(data, (13,))
    n_rows, n_in, n_out, epilogue = args[6], args[7], args[8], args[9]
    activation_bytes, block_rows = args[10], args[11]
    activations = carray(pointer(args[0], np.uint16), (n_rows, n_in))
    residual = carray(pointer(args[3], np.uint16), (n_rows, n_out))
    result = carray(pointer(args[4], np.uint16), (n_rows, n_out))
    thread, n_threads = np.int64(thread_number()), np.int64(thread_count())
    rows_at = args[5] + thread * args[12]
    scales_at = rows_at + block_rows * n_in * activation_bytes
    edge_at = scales_at + 4 * block_rows
    rows = carray(pointer(rows_at, np.uint8), (activation_bytes * block_rows, n_in))
    scales = carray(pointer(scales_at, np.float32), (block_rows,))
    edge_tile = carray(pointer(edge_at, np.uint16), (TILE_ROWS, TILE_COLUMNS))
    n_panels, tile_rows = (n_out + TILE_COLUMNS - 1) // TILE_COLUMNS, TILE_ROWS // activation_bytes
    first_row, last_row, first_panel, last_panel = _thread_share(n_rows, tile_rows, n_panels, thread, n_threads)
    for begin in range(first_row, last_row, block_rows):
        end = min(begin + block_rows, last_row)
        for row in range(end - begin):
            if activation_bytes == 1:
                scales[row] = _quantize_to_int8(activations[begin + row], rows[row])
            else:
                scales[row] = _quantize_to_int16(activations[begin + row], rows[2 * row], rows[2 * row + 1])
        for panel in range(first_panel, last_panel):
            left = panel * TILE_COLUMNS
            right = min(left + TILE_COLUMNS, n_out)
            columns_at, parameters_at = args[1] + left * n_in, args[2] + left * 12
            for top in range(begin, end, tile_rows):
                bottom = min(top + tile_rows, end)
                is_whole = bottom - top == tile_rows and right - left == TILE_COLUMNS
                offset, result_bytes = 2 * (top * n_out + left), 2 * n_out
                residual_at, result_at = args[3] + offset, args[4] + offset
                if not is_whole:
                    residual_at, result_at, result_bytes = edge_at, edge_at, 2 * TILE_COLUMNS
                    if epilogue == BIAS_ADD:
                        for row in range(top, bottom):
                            edge_tile[row - top, : right - left] = residual[row, left:right]
                _multiply_tile(
                    activation_bytes, epilogue, rows_at + (top - begin) * activation_bytes * n_in, n_in,
                    columns_at, parameters_at, scales_at + 4 * (top - begin), residual_at, result_at, result_bytes,
                )  # fmt: skip
                if not is_whole:
                    for row in range(top, bottom):
                        result[row, left:right] = edge_tile[row - top, : right - left]


@inlined
def _thread_share(n_rows, tile_rows, n_panels, thread, n_threads):
    """Return the rows and the panels that a thread computes: begin and end of the rows, then of the panels."""
    if n_rows >= MIN_ROWS_PER_THREAD * n_threads:
        n_tiles = (n_rows + tile_rows - 1) // tile_rows
        first, last = n_tiles * thread // n_threads, n_tiles * (thread + 1) // n_threads
        return first * tile_rows, min(last * tile_rows, n_rows), 0, n_panels
    return 0, n_rows, n_panels * thread // n_threads, n_panels * (thread + 1) // n_threads


@compiled
def _quantize_to_int8(row, quantized):
    """Write a row as unsigned 8-bit integers around ZERO_POINT; return its scale."""
    magnitude = _max_magnitude(row)
    factor = _MAX_INT8 / magnitude
    for n in range(len(row)):
        quantized[n] = np.uint8(to_int32(np.rint(to_float32(row[n]) * factor)) + np.int32(ZERO_POINT))
    return magnitude / _MAX_INT8


@compiled
def _quantize_to_int16(row, upper, lower):
    """Write a row as 16-bit integers, split into two bytes, each unsigned around ZERO_POINT; return its scale."""
    magnitude = _max_magnitude(row)
    factor = _MAX_INT16 / magnitude
    for n in range(len(row)):
        unsigned = to_int32(np.rint(to_float32(row[n]) * factor)) + np.int32(ZERO_POINT << 8 | ZERO_POINT)
        upper[n] = np.uint8(unsigned >> np.int32(8))
        lower[n] = np.uint8(unsigned)
    return magnitude / _MAX_INT16


@inlined
def _max_magnitude(row):
    largest = _MIN_MAGNITUDE
    for n in range(len(row)):
        largest = maximum(largest, abs(to_float32(row[n])))
    return largest


@compiled
def _multiply_tile(
    activation_bytes, epilogue, rows, n_in, columns, parameters, row_scales, residual, result, result_bytes
):
    """Dispatch to the intrinsic for these activations and this epilogue."""
    n_words = n_in // WORD_BYTES
    # Numba cannot choose intrinsics from a table: each is compiled where it is called.
    if activation_bytes == 1:
        if epilogue == BIAS_ADD:
            int8_tile_add(rows, n_in, columns, n_words, parameters, row_scales, residual, result, result_bytes)
        elif epilogue == BIAS_GELU:
            int8_tile_gelu(rows, n_in, columns, n_words, parameters, row_scales, residual, result, result_bytes)
        else:
            int8_tile_bias(rows, n_in, columns, n_words, parameters, row_scales, residual, result, result_bytes)
    elif epilogue == BIAS_ADD:
        int16_tile_add(rows, n_in, columns, n_words, parameters, row_scales, residual, result, result_bytes)
    elif epilogue == BIAS_GELU:
        int16_tile_gelu(rows, n_in, columns, n_words, parameters, row_scales, residual, result, result_bytes)
    else:
        int16_tile_bias(rows, n_in, columns, n_words, parameters, row_scales, residual, result, result_bytes)
