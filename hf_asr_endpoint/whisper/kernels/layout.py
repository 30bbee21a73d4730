"""How kernels expect their operands in memory, and how much scratch memory each needs. Imports no numba.

A tile has N_ROWS rows and N_COLUMNS columns. A panel is N_COLUMNS columns of a weight, stored together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

Kernel: TypeAlias = Callable[[Sequence[int]], None]
"""Runs over its data, 64-bit integers with addresses among them, on torch's threads; returns when all is done."""

HEAD_DIM = 64  # channels of an attention head, in every Whisper; the loops are laid out for it

N_ROWS, N_COLUMNS = 6, 64
ZERO_POINT = 128  # what stands for 0 on the operand whose 8-bit integers are unsigned
WORD = 4  # 8-bit integers that one dot product instruction multiplies and adds

PLAIN, GELU, ADD = range(3)
"""Epilogues of int8_gemm: bias alone, GELU behind the bias, or bias and a residual."""

MAX_BLOCK_BYTES = 192 << 10
"""Of the quantized rows that int8_gemm takes at a time: they and a panel of the weight stay in a core's cache."""

MAX_QUERIES = N_ROWS // 2
"""Queries that cross_attention takes at a time: each fills two rows of a tile, its upper and its lower bytes."""


def padded(n_columns: int) -> int:
    """Return `n_columns` rounded up to whole panels."""
    return -(-n_columns // N_COLUMNS) * N_COLUMNS


def rows_per_block(n_in: int, activation_bytes: int) -> int:
    """Return how many rows int8_gemm takes at a time, in whole tiles. activation_bytes: 1 or 2 for each number."""
    return max(MAX_BLOCK_BYTES // (n_in * activation_bytes) // N_ROWS, 1) * N_ROWS


def int8_gemm_scratch_bytes(n_in: int, activation_bytes: int) -> int:
    """Return the bytes that each thread needs: quantized rows, their scales, and a tile of the result."""
    return rows_per_block(n_in, activation_bytes) * (n_in * activation_bytes + 4) + 2 * N_ROWS * N_COLUMNS


def encoder_attention_scratch_bytes(n_positions: int) -> int:
    """Return the bytes that each thread needs: keys, values, scores, weights, and a tile's queries and sums."""
    n_keys = padded(n_positions)
    return n_keys * (4 * HEAD_DIM + 6 * N_ROWS) + 8 * N_ROWS * HEAD_DIM


def cross_attention_scratch_bytes(n_positions: int) -> int:
    """Return the bytes that each thread needs: scores, weights, queries, and the result."""
    return padded(n_positions) * (4 * MAX_QUERIES + N_ROWS) + N_ROWS * HEAD_DIM + 2 * MAX_QUERIES * HEAD_DIM
