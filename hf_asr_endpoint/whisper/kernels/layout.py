"""The memory layouts that kernels read and write, and the scratch memory that a thread needs. Imports no numba.

A tile has TILE_ROWS rows and TILE_COLUMNS columns. A panel is TILE_COLUMNS columns of a matrix, stored together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

Kernel: TypeAlias = Callable[[Sequence[int]], None]
"""Runs on torch's threads and returns when all of them are done. Takes 64-bit integers, some of them addresses."""

HEAD_DIM = 64  # channels of an attention head in every Whisper; the kernels' loops have this fixed length

TILE_ROWS, TILE_COLUMNS = 6, 64
WORD_BYTES = 4  # a dot-product instruction multiplies four 8-bit integers of each 32-bit word and adds them up
ZERO_POINT = 128  # represents 0 in the operand whose 8-bit integers are unsigned

BIAS, BIAS_GELU, BIAS_ADD = range(3)
"""Epilogues of int8_gemm: add the bias; then apply GELU; or add the bias and a residual."""

MAX_BLOCK_BYTES = 192 << 10
"""Of the quantized rows that int8_gemm processes at a time: with a panel of the weight they fit a core's cache."""

QUERIES_PER_TILE = TILE_ROWS // 2
"""Of cross_attention: each query fills two rows of a tile, its upper and its lower bytes."""


def padded_to_panels(n_columns: int) -> int:
    """Return `n_columns` rounded up to whole panels."""
    return -(-n_columns // TILE_COLUMNS) * TILE_COLUMNS


def rows_per_block(n_in: int, activation_bytes: int) -> int:
    """Return how many rows int8_gemm processes at a time: whole tiles.

    activation_bytes: 1 or 2, to which each activation is quantized.
    """
    return max(MAX_BLOCK_BYTES // (n_in * activation_bytes) // TILE_ROWS, 1) * TILE_ROWS


def int8_gemm_scratch_bytes(n_in: int, activation_bytes: int) -> int:
    """Return the bytes for one thread: quantized rows, their scales and a tile of the result."""
    return rows_per_block(n_in, activation_bytes) * (n_in * activation_bytes + 4) + 2 * TILE_ROWS * TILE_COLUMNS


def encoder_attention_scratch_bytes(n_positions: int) -> int:
    """Return the bytes for one thread: keys, values, scores, weights, and the queries and sums of a tile."""
    n_keys = padded_to_panels(n_positions)
    return n_keys * (4 * HEAD_DIM + 6 * TILE_ROWS) + 8 * TILE_ROWS * HEAD_DIM


def cross_attention_scratch_bytes(n_positions: int) -> int:
    """Return the bytes for one thread: scores, weights, quantized queries and the result."""
    per_position = 4 * QUERIES_PER_TILE + TILE_ROWS
    return padded_to_panels(n_positions) * per_position + TILE_ROWS * HEAD_DIM + 2 * QUERIES_PER_TILE * HEAD_DIM
