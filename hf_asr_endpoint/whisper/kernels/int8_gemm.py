"""Linear layers in integers: activations times a weight in 8 bits, tile by tile.

Each row of activations is quantized with its own scale, one of bytes with its own zero point, too: in bytes to one
or to two of them, in pairs to as many of 16 bits as its length allows, see `layout`. The products are exact. The
epilogue (bias, GELU or residual) runs while a tile is still in registers.

data: the addresses of the activations, shape = (n_rows, n_in); of the weight, int8, shape = (n_panels, n_in /
elements_per_word, tile_columns, elements_per_word); of its columns' parameters, shape = (n_panels, 3,
tile_columns), see `tile`; of the residual, for BIAS_ADD, and of the result, shape = (n_rows, n_out), which may be
the same; of scratch memory, shape = (N_CORES, scratch_bytes); then n_rows, n_in, n_out, the epilogue, bytes per
activation, rows_per_block and scratch_bytes, see `layout`; last the address of the weight and the bias of a layer
norm that comes first, float32, shape = (2, n_in), or 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray

from hf_asr_endpoint.whisper.kernels.compile import compiled, inlined
from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.layout import BIAS, BIAS_ADD, BIAS_GELU, ROW_PARAMETERS_BYTES
from hf_asr_endpoint.whisper.kernels.matrix_tile import (
    make_int8_matrix_tile,
    make_prepare_thread,
    make_release_thread,
)
from hf_asr_endpoint.whisper.kernels.quantize_rows import make_quantize_block
from hf_asr_endpoint.whisper.kernels.scalar import (
    TASKS_PER_THREAD,
    activation_type,
    next_task,
    pointer,
    thread_count,
    thread_number,
)
from hf_asr_endpoint.whisper.kernels.tile import make_int8_tile

MIN_ROWS_PER_TASK = 24  # A task reads the weight once and quantizes its rows once, whatever their number.


def make_int8_gemm(isa: Isa) -> Any:
    """Return the kernel. A task is a part of the rows and of the weight's panels."""
    activation, activation_size = activation_type(isa), isa.layout.activations.itemsize
    max_rows, columns_per_tile = isa.layout.product_rows, isa.layout.tile_columns
    in_pairs = isa.layout.multiplies == "pairs"
    quantize_block, multiply_tile = make_quantize_block(isa), _make_multiply_tile(isa)
    prepare_thread, release_thread = make_prepare_thread(isa), make_release_thread(isa)

    def int8_gemm(data):
        args = carray(data, (14,))
        n_rows, n_in, n_out, epilogue = args[6], args[7], args[8], args[9]
        activation_bytes, block_rows = args[10], args[11]
        residual = carray(pointer(args[3], activation), (n_rows, n_out))
        result = carray(pointer(args[4], activation), (n_rows, n_out))
        rows_at, n_threads = args[5] + np.int64(thread_number()) * args[12], np.int64(thread_count())
        scales_at = rows_at + block_rows * n_in * activation_bytes
        edge_at = scales_at + ROW_PARAMETERS_BYTES * block_rows
        edge_tile = carray(pointer(edge_at, activation), (max_rows, columns_per_tile))
        n_panels = (n_out + columns_per_tile - 1) // columns_per_tile
        tile_rows = max_rows if in_pairs else max_rows // activation_bytes
        rows_per_task, panels_per_task = _sizes_of_tasks(n_rows, tile_rows, block_rows, n_panels, n_threads)
        n_row_tasks = (n_rows + rows_per_task - 1) // rows_per_task
        n_panel_tasks = (n_panels + panels_per_task - 1) // panels_per_task
        quantized_begin = -1
        prepare_thread()
        task = next_task(data, 14)
        while task < n_row_tasks * n_panel_tasks:
            begin = task // n_panel_tasks * rows_per_task
            end = min(begin + rows_per_task, n_rows)
            if begin != quantized_begin:
                quantize_block(args, begin, end, rows_at, scales_at)
                quantized_begin = begin
            first_panel = task % n_panel_tasks * panels_per_task
            for panel in range(first_panel, min(first_panel + panels_per_task, n_panels)):
                left = panel * columns_per_tile
                right = min(left + columns_per_tile, n_out)
                columns_at, parameters_at = args[1] + left * n_in, args[2] + left * 12
                for top in range(begin, end, tile_rows):
                    bottom = min(top + tile_rows, end)
                    is_whole = bottom - top == tile_rows and right - left == columns_per_tile
                    offset, result_bytes = activation_size * (top * n_out + left), activation_size * n_out
                    residual_at, result_at = args[3] + offset, args[4] + offset
                    if not is_whole:
                        residual_at, result_at = edge_at, edge_at
                        result_bytes = activation_size * columns_per_tile
                        if epilogue == BIAS_ADD:
                            for row in range(top, bottom):
                                edge_tile[row - top, : right - left] = residual[row, left:right]
                    multiply_tile(
                        bottom - top, activation_bytes, epilogue,
                        rows_at + (top - begin) * activation_bytes * n_in, n_in, columns_at, parameters_at,
                        scales_at + ROW_PARAMETERS_BYTES * (top - begin), residual_at, result_at, result_bytes,
                    )  # fmt: skip
                    if not is_whole:
                        for row in range(top, bottom):
                            result[row, left:right] = edge_tile[row - top, : right - left]
            task = next_task(data, 14)
        release_thread()

    return int8_gemm


@inlined
def _sizes_of_tasks(n_rows, tile_rows, block_rows, n_panels, n_threads):
    """Return the rows and the panels of a task. Rows are split first: each part of them is quantized once."""
    n_tasks = TASKS_PER_THREAD * n_threads if n_threads > 1 else 1
    n_row_tasks = min(max(n_rows // MIN_ROWS_PER_TASK, 1), n_tasks)
    n_tiles = (n_rows + tile_rows - 1) // tile_rows
    rows_per_task = min((n_tiles + n_row_tasks - 1) // n_row_tasks * tile_rows, block_rows)
    n_row_tasks = (n_rows + rows_per_task - 1) // rows_per_task
    n_panel_tasks = min((n_tasks + n_row_tasks - 1) // n_row_tasks, n_panels)
    return rows_per_task, (n_panels + n_panel_tasks - 1) // n_panel_tasks


def _make_multiply_tile(isa: Isa) -> Any:
    """Return what dispatches to a tile's intrinsic: by rows, and of bytes by the bytes of an activation."""
    if isa.layout.multiplies == "pairs":
        return _make_multiply_pairs(isa)
    return _make_multiply_bytes(isa) if isa.matrix_unit is None else _make_multiply_matrices(isa)


def _make_multiply_bytes(isa: Isa) -> Any:
    """All rows of a tile are computed."""
    multiply_rows = _make_multiply_rows_of_bytes(isa, isa.layout.tile_rows)

    @compiled
    def multiply_tile(
        n_rows, activation_bytes, epilogue,
        rows, n_in, columns, parameters, scales, residual, result, result_bytes,
    ):  # fmt: skip
        multiply_rows(
            activation_bytes, epilogue, rows, n_in, columns, parameters, scales, residual, result, result_bytes
        )

    return multiply_tile


def _make_multiply_matrices(isa: Isa) -> Any:
    """A tile of few rows, as in decode steps, is computed in vector registers, or as half of one.

    A step of one row waits for the weight, which the unit loads a third slower (Sapphire Rapids).
    """
    few_rows, half_rows = isa.layout.tile_rows, isa.layout.product_rows // 2
    few, half, whole = (
        _make_multiply_rows_of_bytes(isa, n) for n in (few_rows, half_rows, isa.layout.product_rows)
    )

    @compiled
    def multiply_tile(
        n_rows, activation_bytes, epilogue,
        rows, n_in, columns, parameters, scales, residual, result, result_bytes,
    ):  # fmt: skip
        if n_rows * activation_bytes <= few_rows:
            few(
                activation_bytes, epilogue, rows, n_in, columns, parameters, scales, residual, result, result_bytes
            )
        elif n_rows * activation_bytes <= half_rows:
            half(
                activation_bytes, epilogue, rows, n_in, columns, parameters, scales, residual, result, result_bytes
            )
        else:
            whole(
                activation_bytes, epilogue, rows, n_in, columns, parameters, scales, residual, result, result_bytes
            )

    return multiply_tile


def _make_multiply_rows_of_bytes(isa: Isa, n_rows: int) -> Any:
    """Of one or two bytes an activation, which are rows of their own."""
    word_bytes = isa.layout.elements_per_word
    int8_bias, int8_gelu, int8_add = _make_tiles(isa, n_rows=n_rows, rows_per_activation=1)
    int16_bias, int16_gelu, int16_add = _make_tiles(isa, n_rows=n_rows, rows_per_activation=2)

    @compiled
    def multiply_rows(
        activation_bytes, epilogue, rows, n_in, columns, parameters, scales, residual, result, result_bytes
    ):
        n_words = n_in // word_bytes
        # numba cannot choose intrinsics from a table: each is compiled where it is called.
        if activation_bytes == 1:
            if epilogue == BIAS_ADD:
                int8_add(rows, n_in, columns, n_words, parameters, scales, residual, result, result_bytes)
            elif epilogue == BIAS_GELU:
                int8_gelu(rows, n_in, columns, n_words, parameters, scales, residual, result, result_bytes)
            else:
                int8_bias(rows, n_in, columns, n_words, parameters, scales, residual, result, result_bytes)
        elif epilogue == BIAS_ADD:
            int16_add(rows, n_in, columns, n_words, parameters, scales, residual, result, result_bytes)
        elif epilogue == BIAS_GELU:
            int16_gelu(rows, n_in, columns, n_words, parameters, scales, residual, result, result_bytes)
        else:
            int16_bias(rows, n_in, columns, n_words, parameters, scales, residual, result, result_bytes)

    return multiply_rows


def _make_multiply_pairs(isa: Isa) -> Any:
    """A tile of few rows, as in decode steps, is computed with about as many."""
    half_rows = isa.layout.tile_rows // 2
    one, half, whole = (_make_multiply_rows(isa, n) for n in (1, half_rows, isa.layout.tile_rows))

    @compiled
    def multiply_tile(
        n_rows, activation_bytes, epilogue,
        rows, n_in, columns, parameters, scales, residual, result, result_bytes,
    ):  # fmt: skip
        if n_rows == 1:
            one(epilogue, rows, n_in, columns, parameters, scales, residual, result, result_bytes)
        elif n_rows <= half_rows:
            half(epilogue, rows, n_in, columns, parameters, scales, residual, result, result_bytes)
        else:
            whole(epilogue, rows, n_in, columns, parameters, scales, residual, result, result_bytes)

    return multiply_tile


def _make_multiply_rows(isa: Isa, n_rows: int) -> Any:
    """Of pairs."""
    tile_bias, tile_gelu, tile_add = _make_tiles(isa, n_rows=n_rows, rows_per_activation=1)

    @compiled
    def multiply_rows(epilogue, rows, n_in, columns, parameters, scales, residual, result, result_bytes):
        row_bytes, n_words = 2 * n_in, n_in // 2
        if epilogue == BIAS_ADD:
            tile_add(rows, row_bytes, columns, n_words, parameters, scales, residual, result, result_bytes)
        elif epilogue == BIAS_GELU:
            tile_gelu(rows, row_bytes, columns, n_words, parameters, scales, residual, result, result_bytes)
        else:
            tile_bias(rows, row_bytes, columns, n_words, parameters, scales, residual, result, result_bytes)

    return multiply_rows


def _make_tiles(isa: Isa, *, n_rows: int, rows_per_activation: int) -> list[Any]:
    """Return the intrinsics for the three epilogues."""
    make = make_int8_tile if n_rows <= isa.layout.tile_rows else make_int8_matrix_tile
    return [
        make(isa, epilogue, n_rows=n_rows, rows_per_activation=rows_per_activation)
        for epilogue in (BIAS, BIAS_GELU, BIAS_ADD)
    ]
