"""Linear layers in 8-bit integers: rows in bfloat16 times a weight, tile by tile.

Each row is rounded by a scale of its own, to one byte or, finely, to two; the products are exact. What is added to
a sum, and the activation behind it, are computed before a tile leaves its registers.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from hf_asr_endpoint.whisper.kernels.compile import compiled, inlined
from hf_asr_endpoint.whisper.kernels.launch import on_threads
from hf_asr_endpoint.whisper.kernels.layout import ADD, GELU, N_COLUMNS, N_ROWS, WORD, ZERO_POINT, Kernel
from hf_asr_endpoint.whisper.kernels.scalar import larger, pointer, thread_count, thread_number, to_int32, widen
from hf_asr_endpoint.whisper.kernels.tile import (
    multiply_add,
    multiply_add_2_bytes,
    multiply_gelu,
    multiply_gelu_2_bytes,
    multiply_plain,
    multiply_plain_2_bytes,
)

FEW_ROWS = 24  # for a thread: of fewer, all threads compute all, for a part of the columns each

_INT8_MAX = np.float32(127)
_INT16_MAX = np.float32(32_639)  # the largest number whose upper and lower byte, both signed, are below 128
_MIN_MAGNITUDE = np.float32(1e-8)  # of a row, instead of 0


def compile_kernel() -> Kernel:
    """Return the kernel; see `_int8_gemm` for its data."""
    return on_threads(_int8_gemm)


@inlined
def _size_of(row):
    most = _MIN_MAGNITUDE
    for n in range(len(row)):
        most = larger(most, abs(widen(row[n])))
    return most


@compiled
def _round(row, rounded):
    """Write a row as 8-bit integers; return what they are to be multiplied by."""
    most = _size_of(row)
    per_unit = _INT8_MAX / most
    for n in range(len(row)):
        rounded[n] = np.uint8(to_int32(np.rint(widen(row[n]) * per_unit)) + np.int32(ZERO_POINT))
    return most / _INT8_MAX


@compiled
def _quantize_to_2_bytes(row, upper, lower):
    """Write a row as 16-bit integers, their upper bytes and their lower ones; return what to multiply them by."""
    most = _size_of(row)
    per_unit = _INT16_MAX / most
    for n in range(len(row)):
        unsigned = to_int32(np.rint(widen(row[n]) * per_unit)) + np.int32(ZERO_POINT << 8 | ZERO_POINT)
        upper[n] = np.uint8(unsigned >> np.int32(8))
        lower[n] = np.uint8(unsigned)
    return most / _INT16_MAX


@compiled
def _multiply_tile(
    activation_bytes, finish, rows, n_in, columns, column_finish, row_scales, read, written, out_bytes
):
    n_words = n_in // WORD
    # Call by call: numba compiles each as machine code of its own, and takes none from a table.
    if activation_bytes == 1:
        if finish == ADD:
            multiply_add(rows, n_in, columns, n_words, column_finish, row_scales, read, written, out_bytes)
        elif finish == GELU:
            multiply_gelu(rows, n_in, columns, n_words, column_finish, row_scales, read, written, out_bytes)
        else:
            multiply_plain(rows, n_in, columns, n_words, column_finish, row_scales, read, written, out_bytes)
    elif finish == ADD:
        multiply_add_2_bytes(rows, n_in, columns, n_words, column_finish, row_scales, read, written, out_bytes)
    elif finish == GELU:
        multiply_gelu_2_bytes(rows, n_in, columns, n_words, column_finish, row_scales, read, written, out_bytes)
    else:
        multiply_plain_2_bytes(rows, n_in, columns, n_words, column_finish, row_scales, read, written, out_bytes)


@inlined
def _share(n_rows, tile_rows, n_panels, thread, n_threads):
    """Return the first row and panel that a thread computes, and those behind the last."""
    if n_rows >= FEW_ROWS * n_threads:
        n_tiles = (n_rows + tile_rows - 1) // tile_rows
        first, last = n_tiles * thread // n_threads, n_tiles * (thread + 1) // n_threads
        return first * tile_rows, min(last * tile_rows, n_rows), 0, n_panels
    return 0, n_rows, n_panels * thread // n_threads, n_panels * (thread + 1) // n_threads


def _int8_gemm(data):
    """Multiply rows by a weight. Many rows are shared out among the threads; of few ones, the weight's panels.

    data: addresses of the rows, bfloat16, shape = (n_rows, n_in); of the weight, int8, (n_panels, n_in / WORD,
    N_COLUMNS, WORD), and of what its columns are finished with, (n_panels, 3, N_COLUMNS), see `tiles`; of the
    other rows, for ADD, and of what is written, bfloat16, (n_rows, n_out); of memory to work in, shape =
    (N_CORES, n_scratch_bytes); n_rows, n_in, n_out; PLAIN, GELU or ADD; activation_bytes, see `tile`;
    rows_per_block and n_scratch_bytes, see `layout`.
    """
    args = carray(data, (13,))
    n_rows, n_in, n_out, finish, activation_bytes, at_once = args[6], args[7], args[8], args[9], args[10], args[11]
    given = carray(pointer(args[0], np.uint16), (n_rows, n_in))
    others = carray(pointer(args[3], np.uint16), (n_rows, n_out))
    written = carray(pointer(args[4], np.uint16), (n_rows, n_out))
    thread, n_threads = np.int64(thread_number()), np.int64(thread_count())
    rows_at = args[5] + thread * args[12]
    scales_at = rows_at + at_once * n_in * activation_bytes
    tile_at = scales_at + 4 * at_once
    rows = carray(pointer(rows_at, np.uint8), (activation_bytes * at_once, n_in))
    scales = carray(pointer(scales_at, np.float32), (at_once,))
    tile = carray(pointer(tile_at, np.uint16), (N_ROWS, N_COLUMNS))
    n_panels, tile_rows = (n_out + N_COLUMNS - 1) // N_COLUMNS, N_ROWS // activation_bytes
    first_row, last_row, first_panel, last_panel = _share(n_rows, tile_rows, n_panels, thread, n_threads)
    for begin in range(first_row, last_row, at_once):
        end = min(begin + at_once, last_row)
        for row in range(end - begin):
            if activation_bytes == 1:
                scales[row] = _round(given[begin + row], rows[row])
            else:
                scales[row] = _quantize_to_2_bytes(given[begin + row], rows[2 * row], rows[2 * row + 1])
        for panel in range(first_panel, last_panel):
            left = panel * N_COLUMNS
            right = min(left + N_COLUMNS, n_out)
            columns_at, finish_at = args[1] + left * n_in, args[2] + left * 12
            for top in range(begin, end, tile_rows):
                bottom = min(top + tile_rows, end)
                is_whole = bottom - top == tile_rows and right - left == N_COLUMNS
                offset, out_bytes = 2 * (top * n_out + left), 2 * n_out
                read_at, written_at = args[3] + offset, args[4] + offset
                if not is_whole:
                    read_at, written_at, out_bytes = tile_at, tile_at, 2 * N_COLUMNS
                    if finish == ADD:
                        for row in range(top, bottom):
                            tile[row - top, : right - left] = others[row, left:right]
                _multiply_tile(
                    activation_bytes, finish, rows_at + (top - begin) * activation_bytes * n_in, n_in, columns_at,
                    finish_at, scales_at + 4 * (top - begin), read_at, written_at, out_bytes,
                )  # fmt: skip
                if not is_whole:
                    for row in range(top, bottom):
                        written[row, left:right] = tile[row - top, : right - left]
