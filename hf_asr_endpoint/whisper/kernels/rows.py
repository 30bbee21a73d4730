"""Linear layers in 8-bit integers: rows in bfloat16 times a weight, tile by tile.

Each row is rounded by a scale of its own, to one byte or, finely, to two; the products are exact. What is added to
a sum, and the activation behind it, are computed before a tile leaves its registers.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import carray

from hf_asr_endpoint.whisper.kernels.arithmetic import (
    larger,
    pointer,
    thread_count,
    thread_number,
    to_int32,
    widen,
)
from hf_asr_endpoint.whisper.kernels.compiling import compiled, inlined
from hf_asr_endpoint.whisper.kernels.launch import Kernel, on_threads
from hf_asr_endpoint.whisper.kernels.tiles import (
    N_COLUMNS,
    N_ROWS,
    UNSIGNED_ZERO,
    multiply_add,
    multiply_add_finely,
    multiply_gelu,
    multiply_gelu_finely,
    multiply_plain,
    multiply_plain_finely,
)

PLAIN, GELU, ADD = range(3)
"""What a product is finished with: its bias, an activation behind that, or the sum with other rows."""

WORD = 4  # integers that are multiplied at once
MOST_BYTES_OF_ROWS = 192 << 10  # at a time: they and a panel of the weight stay in a core's own cache
FEW_ROWS = 24  # for a thread: of fewer, all threads compute all, for a part of the columns each

_INT8_MAX = np.float32(127)
_MOST_FINE = np.float32(32_639)  # the largest number whose upper and lower byte, both signed, are below 128
_LEAST_SIZE = np.float32(1e-8)  # of a row, instead of 0


@cache
def multiply_rows() -> Kernel:
    """Return the kernel; see `_multiply_rows` for its data."""
    return on_threads(_multiply_rows)


def rows_at_once(n_in: int, n_digits: int) -> int:
    """Return how many rows a thread takes at a time, whole tiles. n_digits: bytes of each of their numbers."""
    return max(MOST_BYTES_OF_ROWS // (n_in * n_digits) // N_ROWS, 1) * N_ROWS


def room_of(n_in: int, n_digits: int) -> int:
    """Return how many bytes each thread works in: rounded rows, their scales, and a tile of what is written."""
    return rows_at_once(n_in, n_digits) * (n_in * n_digits + 4) + 2 * N_ROWS * N_COLUMNS


@inlined
def _size_of(row):
    most = _LEAST_SIZE
    for n in range(len(row)):
        most = larger(most, abs(widen(row[n])))
    return most


@compiled
def _round(row, rounded):
    """Write a row as 8-bit integers; return what they are to be multiplied by."""
    most = _size_of(row)
    per_unit = _INT8_MAX / most
    for n in range(len(row)):
        rounded[n] = np.uint8(to_int32(np.rint(widen(row[n]) * per_unit)) + np.int32(UNSIGNED_ZERO))
    return most / _INT8_MAX


@compiled
def _round_finely(row, upper, lower):
    """Write a row as 16-bit integers, their upper bytes and their lower ones; return what to multiply them by."""
    most = _size_of(row)
    per_unit = _MOST_FINE / most
    for n in range(len(row)):
        unsigned = to_int32(np.rint(widen(row[n]) * per_unit)) + np.int32(UNSIGNED_ZERO << 8 | UNSIGNED_ZERO)
        upper[n] = np.uint8(unsigned >> np.int32(8))
        lower[n] = np.uint8(unsigned)
    return most / _MOST_FINE


@compiled
def _multiply_tile(n_digits, finish, rows, n_in, columns, column_finish, row_scales, read, written, out_bytes):
    n_words = n_in // WORD
    # Call by call: numba compiles each as machine code of its own, and takes none from a table.
    if n_digits == 1:
        if finish == ADD:
            multiply_add(rows, n_in, columns, n_words, column_finish, row_scales, read, written, out_bytes)
        elif finish == GELU:
            multiply_gelu(rows, n_in, columns, n_words, column_finish, row_scales, read, written, out_bytes)
        else:
            multiply_plain(rows, n_in, columns, n_words, column_finish, row_scales, read, written, out_bytes)
    elif finish == ADD:
        multiply_add_finely(rows, n_in, columns, n_words, column_finish, row_scales, read, written, out_bytes)
    elif finish == GELU:
        multiply_gelu_finely(rows, n_in, columns, n_words, column_finish, row_scales, read, written, out_bytes)
    else:
        multiply_plain_finely(rows, n_in, columns, n_words, column_finish, row_scales, read, written, out_bytes)


@inlined
def _share(n_rows, tile_rows, n_panels, thread, n_threads):
    """Return the first row and panel that a thread computes, and those behind the last."""
    if n_rows >= FEW_ROWS * n_threads:
        n_tiles = (n_rows + tile_rows - 1) // tile_rows
        first, last = n_tiles * thread // n_threads, n_tiles * (thread + 1) // n_threads
        return first * tile_rows, min(last * tile_rows, n_rows), 0, n_panels
    return 0, n_rows, n_panels * thread // n_threads, n_panels * (thread + 1) // n_threads


def _multiply_rows(data):
    """Multiply rows by a weight. Many rows are shared out among the threads; of few ones, the weight's panels.

    data: addresses of the rows, bfloat16, shape = (n_rows, n_in); of the weight, int8, (n_panels, n_in / WORD,
    N_COLUMNS, WORD), and of what its columns are finished with, (n_panels, 3, N_COLUMNS), see `tiles`; of the
    other rows, for ADD, and of what is written, bfloat16, (n_rows, n_out); of memory to work in, shape =
    (N_CORES, `room_of` the rows); n_rows, n_in, n_out; PLAIN, GELU or ADD; n_digits, see `tiles`; `rows_at_once`
    and `room_of` such rows.
    """
    args = carray(data, (13,))
    n_rows, n_in, n_out, finish, n_digits, at_once = args[6], args[7], args[8], args[9], args[10], args[11]
    given = carray(pointer(args[0], np.uint16), (n_rows, n_in))
    others = carray(pointer(args[3], np.uint16), (n_rows, n_out))
    written = carray(pointer(args[4], np.uint16), (n_rows, n_out))
    thread, n_threads = np.int64(thread_number()), np.int64(thread_count())
    rows_at = args[5] + thread * args[12]
    scales_at = rows_at + at_once * n_in * n_digits
    tile_at = scales_at + 4 * at_once
    rows = carray(pointer(rows_at, np.uint8), (n_digits * at_once, n_in))
    scales = carray(pointer(scales_at, np.float32), (at_once,))
    tile = carray(pointer(tile_at, np.uint16), (N_ROWS, N_COLUMNS))
    n_panels, tile_rows = (n_out + N_COLUMNS - 1) // N_COLUMNS, N_ROWS // n_digits
    first_row, last_row, first_panel, last_panel = _share(n_rows, tile_rows, n_panels, thread, n_threads)
    for begin in range(first_row, last_row, at_once):
        end = min(begin + at_once, last_row)
        for row in range(end - begin):
            if n_digits == 1:
                scales[row] = _round(given[begin + row], rows[row])
            else:
                scales[row] = _round_finely(given[begin + row], rows[2 * row], rows[2 * row + 1])
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
                    n_digits, finish, rows_at + (top - begin) * n_digits * n_in, n_in, columns_at, finish_at,
                    scales_at + 4 * (top - begin), read_at, written_at, out_bytes,
                )  # fmt: skip
                if not is_whole:
                    for row in range(top, bottom):
                        written[row, left:right] = tile[row - top, : right - left]
