"""The memory layouts that kernels read and write, and the scratch memory that a thread needs. Imports no numba.

A tile is a part of a product that is computed in registers. A panel is the columns of a tile for all words of a
matrix, stored together. A word is the elements of a row or a column whose products an instruction adds up: those
in 32 bits, or in 64 where it multiplies matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

FORBIDDEN = -1e30
"""Stands for minus infinity, which compilers may take for impossible."""

PART_TOKENS = 2_048
"""Tokens of the vocabulary that a thread scores at a time."""

NORM_EPSILON = 1e-5  # added to a layer norm's variance: torch's default, which every Whisper uses


class Kernel(Protocol):
    """Runs on torch's threads and returns when all are done. Takes 64-bit integers, some of them addresses.

    address: of its code, for a `Program`.
    """

    address: int

    def __call__(self, data: Sequence[int]) -> None: ...

    def run_at(self, data_at: int) -> None:
        """Run with the data at an address, behind which the counter of tasks is 0, see COUNTER_OFFSET."""
        ...


HEAD_DIM = 64  # channels of an attention head in every Whisper; the kernels' loops have this fixed length

ZERO_POINT = 128  # represents 0 where both bytes of an activation, or a query or a weight, are unsigned

BIAS, BIAS_GELU, BIAS_ADD = range(3)
"""Epilogues of int8_gemm: add the bias; then apply GELU; or add the bias and a residual."""

CACHE_LINE_BYTES = 64

UNIT_WORDS = 16
"""Words of a row, and columns, that an instruction of a matrix unit multiplies."""

ROW_PARAMETERS_BYTES = 8
"""Of a quantized row: its scale, float32, and its zero point, see `zero_points`."""

COUNTER_OFFSET = 16
"""Words between a kernel's data and the counter of its tasks: two cache lines, which processors fetch together.
Threads read the data all the time, and a write beside it would take it from their caches."""

FLOAT32, FLOAT16, BFLOAT16 = range(3)
WEIGHT_FORMATS = {torch.float32: FLOAT32, torch.float16: FLOAT16, torch.bfloat16: BFLOAT16}
"""How pack_weight finds a weight stored."""

MAX_INPUTS = 33_000
"""The most inputs of a layer of bytes, see `zero_points`. The largest Whisper has 5,120."""

MAX_BLOCK_BYTES = 192 << 10
"""Of the quantized rows that int8_gemm processes at a time: with a panel of the weight they fit a core's cache."""

MAX_INT8, MAX_INT16, MAX_UINT16 = 127, 32_767, 65_535
MAX_INT32 = 2**31 - 1
MAX_BYTE_PAIR = 127 * 256 + 127  # the largest 16-bit integer whose upper and lower bytes fit signed 8-bit integers


def max_pair_element(n_in: int) -> int:
    """Return the largest quantized activation in pairs, so that products with n_in weights never exceed 32 bits.

    15 bits for 512 inputs, 13 for 2,048, 11.7 for 5,120.
    """
    return min(MAX_INT32 // (MAX_INT8 * n_in), MAX_INT16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How one level's operands lie in memory.

    level: its name. tile_rows, tile_columns: of a tile, as many as the accumulators fit registers.
    unit_rows: of a tile of int8_gemm and of the encoder's attention where a unit of the processor multiplies
    matrices, see `MatrixUnit`; None: they are computed in vector registers, too.
    multiplies: what the dot product of linear layers and of cross-attention multiplies. "bytes": four 8-bit
    integers of rows with four of columns. "pairs": two signed 16-bit integers; columns are stored in 8 bits and
    widened when they are loaded.
    rows_per_product: 1 for dot products; 2 where an instruction multiplies matrices of bytes: a word of two rows
    with one of two columns. Then the rows lie in pairs: a word of one, and the same word of the other.
    zero_point: ZERO_POINT where the product of bytes takes one operand unsigned: it represents 0 in both bytes of
    an activation, and in queries and attention weights. 0 where both operands are signed. Rows of one byte an
    activation have zero points of their own.
    attends: what the encoder's attention multiplies: two bfloat16, two signed 16-bit integers, or one float32.
    activations: the dtype of what kernels read and write.
    """

    level: str
    tile_rows: int
    tile_columns: int
    unit_rows: int | None = None
    multiplies: Literal["bytes", "pairs"]
    rows_per_product: Literal[1, 2] = 1
    zero_point: int = 0
    attends: Literal["bfloat16", "pairs", "float32"]
    activations: torch.dtype

    @property
    def elements_per_word(self) -> int:
        """Elements of the columns in a word."""
        return 4 * self.rows_per_product if self.multiplies == "bytes" else 2

    @property
    def product_rows(self) -> int:
        """Rows of a tile of int8_gemm and of the encoder's attention."""
        return self.unit_rows or self.tile_rows

    @property
    def input_multiple(self) -> int:
        """What the inputs of an int8_gemm are a multiple of: whole words, for a matrix unit UNIT_WORDS of them."""
        return self.elements_per_word * (UNIT_WORDS if self.unit_rows else 1)

    @property
    def max_weight(self) -> int:
        """Stands for 1 in attention weights of two bytes, which are unsigned where a zero point makes rows so."""
        return MAX_UINT16 if self.zero_point else MAX_BYTE_PAIR

    @property
    def queries_per_tile(self) -> int:
        """Of cross-attention. In bytes each query fills two rows of a tile, its upper and its lower bytes."""
        return self.tile_rows // 2 if self.multiplies == "bytes" else self.tile_rows

    def fills_words(self, n_in: int) -> bool:
        """Return whether int8_gemm can multiply rows of n_in elements."""
        return n_in % self.input_multiple == 0

    def padded_to_panels(self, n_columns: int) -> int:
        """Return `n_columns` rounded up to whole panels."""
        return -(-n_columns // self.tile_columns) * self.tile_columns

    def bytes_per_activation(self, activation_bytes: int) -> int:
        """Return the bytes that a quantized activation takes.

        activation_bytes: 1 or 2, the precision asked for. Pairs are as fast for 16 bits as for 8, so they have
        two.
        """
        return activation_bytes if self.multiplies == "bytes" else 2

    def rows_per_block(self, n_in: int, activation_bytes: int) -> int:
        """Return how many rows int8_gemm processes at a time: whole tiles."""
        row_bytes = n_in * self.bytes_per_activation(activation_bytes)
        return max(MAX_BLOCK_BYTES // row_bytes // self.product_rows, 1) * self.product_rows

    def int8_gemm_scratch_bytes(self, n_in: int, activation_bytes: int) -> int:
        """Return the bytes for one thread: quantized rows with parameters, a tile of results, a row in float32."""
        row_bytes = n_in * self.bytes_per_activation(activation_bytes) + ROW_PARAMETERS_BYTES
        edge_bytes = self.activations.itemsize * self.product_rows * self.tile_columns
        return self.rows_per_block(n_in, activation_bytes) * row_bytes + edge_bytes + 4 * n_in

    def pack_weight_scratch_bytes(self, n_in: int) -> int:
        """Return the bytes for one thread: a row in float32 and in 8-bit integers."""
        return -(-(4 + 1) * n_in // CACHE_LINE_BYTES) * CACHE_LINE_BYTES

    def encoder_attention_scratch_bytes(self, n_positions: int) -> int:
        """Return the bytes for one thread: keys, values, scores, weights, and the queries and sums of a tile."""
        n_keys = self.padded_to_panels(n_positions)
        element_bytes = 4 if self.attends == "float32" else 2
        # Weights in float32 take the place of the scores.
        row_bytes = 4 if self.attends == "float32" else 4 + element_bytes
        n_rows = self.product_rows
        return n_keys * (2 * element_bytes * HEAD_DIM + row_bytes * n_rows) + 8 * n_rows * HEAD_DIM

    def cross_attention_scratch_bytes(self, n_positions: int) -> int:
        """Return the bytes for one thread: scores, weights, quantized queries and the result."""
        n_queries = self.queries_per_tile
        per_position = (4 + 2) * n_queries
        result_bytes = self.activations.itemsize * n_queries * HEAD_DIM
        return self.padded_to_panels(n_positions) * per_position + 2 * n_queries * HEAD_DIM + result_bytes
