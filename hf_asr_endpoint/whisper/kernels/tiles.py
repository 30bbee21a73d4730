"""The innermost loop of products of matrices: a tile of the result in registers, by the processor's dot products.

A tile has N_ROWS rows and N_COLUMNS columns: 24 registers of sums, 4 of columns and one of rows, of AVX-512's 32.
Measured on one core of a Zen 5 at 3.5 GHz: 441 billion products a second of 8-bit integers, 220 of bfloat16.
That is 98 % of what the processor can; oneDNN reaches 90 % in bfloat16 and 45 to 75 % in 8-bit integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, reduce
from itertools import product
from typing import Any

import llvmlite.binding
import numba
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from hf_asr_endpoint.whisper.kernels.lanes import (
    FLOAT,
    FLOATS,
    INT32,
    INT64,
    N_LANES,
    WORDS,
    Lanes,
    advanced,
    load,
    load_bfloat16,
    load_floats,
    load_to_all,
    moved,
    repeat,
    store,
)
from hf_asr_endpoint.whisper.kernels.launch import are_available

N_ROWS, N_COLUMNS = 6, 64

PARTS = N_COLUMNS // N_LANES  # vectors of a row
UNSIGNED_ZERO = 128  # what stands for 0 on the side whose integers are unsigned

llvmlite.binding.initialize_native_asmparser()  # The instructions are named as assembly.


BFLOAT16 = "vdpbf16ps $3, $2, $0"
UNSIGNED_ROWS = "vpdpbusd $3, $2, $0"
UNSIGNED_COLUMNS = "vpdpbusd $2, $3, $0"
"""What adds up the products of the parts of 32-bit words: of two bfloat16, or of four 8-bit integers, of which the
instruction takes those of one side to be unsigned."""


def padded(n_columns: int) -> int:
    """Return how many columns the tiles have that hold so many."""
    return -(-n_columns // N_COLUMNS) * N_COLUMNS


@cache
def have_instructions() -> bool:
    """Say whether tiles can be computed here: by the processor, and numba has not been told of a lesser one."""
    has_both = torch.cpu._is_vnni_supported() and torch.cpu._is_avx512_bf16_supported()
    is_for_it = numba.config.CPU_NAME in (None, "host") and bool(numba.config.ENABLE_AVX)
    return are_available() and has_both and is_for_it


@cache
def are_fastest() -> bool:
    """Say whether large products are fastest by tiles.

    Where the processor has tiles of its own (AMX), torch's products use them and are several times faster.
    """
    return have_instructions() and not torch.cpu._is_amx_tile_supported()


def add_products(
    builder: Any, instruction: str, vector: Any, args: Sequence[Any], *, n_rows: int = N_ROWS
) -> dict[tuple[int, int], Any]:
    """Emit the loop; return the sums, by row and part of it.

    vector: of sums. args: 64-bit integers: the rows' address and how many bytes they are apart, the columns'
    address, shape = (n_words, N_COLUMNS), and n_words.
    """
    rows, row_bytes, columns, n_words = args
    added = ir.FunctionType(vector, [vector, WORDS, WORDS])
    first_words = [moved(builder, rows, row_bytes, row) for row in range(n_rows)]

    def add_words(word: Any, *totals: Any) -> list[Any]:
        here = moved(builder, columns, word, 4 * N_COLUMNS)
        of_columns = [load(builder, advanced(builder, here, part * 4 * N_LANES), WORDS) for part in range(PARTS)]
        following = []
        for row, first_word in enumerate(first_words):
            of_row = load_to_all(builder, moved(builder, first_word, word, 4), INT32, WORDS)
            for total, of_column in zip(totals[row * PARTS :], of_columns, strict=False):
                operands = [total, of_row, of_column]
                following.append(builder.asm(added, instruction, "=v,0,v,v", operands, False))
        return following

    totals = repeat(builder, n_words, [ir.Constant(vector, None)] * (n_rows * PARTS), add_words)
    return dict(zip(product(range(n_rows), range(PARTS)), totals, strict=True))


@intrinsic
def multiply_bfloat16(
    typing: Any, rows: Any, row_bytes: Any, columns: Any, n_words: Any, sums: Any, sums_bytes: Any
) -> Any:
    """Write a tile's sums, float32. All are 64-bit integers; see `add_products`, and then the sums' address and
    how many bytes their rows are apart."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sums, sums_bytes = args[4:]
        for (row, part), total in add_products(builder, BFLOAT16, FLOATS, args[:4]).items():
            first = moved(builder, sums, sums_bytes, row)
            store(builder, advanced(builder, first, part * 4 * N_LANES), total)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), generate


Finish = Callable[[Lanes, Lanes], Lanes]
"""Given values and what is read beside them, returns what to write."""


def _multiply_int8(finish: Finish, *, n_digits: int) -> Any:
    """Return what multiplies a tile of 8-bit integers and writes what comes of it, bfloat16, for kernels to call.

    n_digits: bytes of which each of the rows' numbers is made, 1 or 2. Two are rows of their own, the upper ones
    first: such a tile has half as many rows.
    What is returned takes 64-bit integers: see `add_products`, and then the addresses of what the columns are
    finished with, shape = (3, N_COLUMNS): what is to be taken off sums, int32, scales and bias, float32; of the
    rows' scales, float32; of what is read and what is written, bfloat16, and how many bytes rows of these two are
    apart.
    """

    @intrinsic
    def multiply(
        typing: Any,
        rows: Any,
        row_bytes: Any,
        columns: Any,
        n_words: Any,
        column_finish: Any,
        row_scales: Any,
        read: Any,
        written: Any,
        out_bytes: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            column_finish, row_scales, read, written, out_bytes = args[4:]
            totals = add_products(builder, UNSIGNED_ROWS, WORDS, args[:4])
            for part in range(PARTS):
                excess_at, scale_at, bias_at = (
                    advanced(builder, column_finish, 4 * (n * N_COLUMNS + part * N_LANES)) for n in range(3)
                )
                excess, scale = load(builder, excess_at, WORDS), load_floats(builder, scale_at)
                bias = load_floats(builder, bias_at)
                for row in range(N_ROWS // n_digits):
                    sums = [builder.sub(totals[n_digits * row + n, part], excess) for n in range(n_digits)]
                    of_digits = [Lanes(builder, builder.sitofp(total, FLOATS)) for total in sums]
                    units = reduce(lambda upper, lower: upper * 256.0 + lower, of_digits)
                    row_scale = load_to_all(builder, advanced(builder, row_scales, 4 * row), FLOAT, FLOATS)
                    value = units * Lanes(builder, row_scale) * scale + bias
                    distance = builder.mul(out_bytes, ir.Constant(INT64, row))
                    offset = advanced(builder, distance, part * 2 * N_LANES)
                    beside = load_bfloat16(builder, builder.add(read, offset))
                    store(builder, builder.add(written, offset), finish(value, beside).narrowed())
            return context.get_dummy_value()

        return types.void(*[types.int64] * 9), generate

    return multiply


def _gelu(x: Lanes) -> Lanes:
    """x times the normal distribution function (Abramowitz and Stegun, 7.1.26). What is off by more than bfloat16
    rounds off is less than 1e-5 in size: x below -5."""
    size = abs(x) * 0.70710678
    t = 1.0 / (size * 0.3275911 + 1.0)
    series = (((t * 1.061405429 - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592
    power = (size * size * -1.44269504).power_of_2()
    tail = x * 0.5 * series * t * power
    return x.where_negative(tail, x - tail)


def _plain(value: Lanes, beside: Lanes) -> Lanes:
    return value


def _activated(value: Lanes, beside: Lanes) -> Lanes:
    return _gelu(value)


multiply_plain, multiply_gelu, multiply_add = (
    _multiply_int8(finish, n_digits=1) for finish in (_plain, _activated, Lanes.__add__)
)
multiply_plain_finely, multiply_gelu_finely, multiply_add_finely = (
    _multiply_int8(finish, n_digits=2) for finish in (_plain, _activated, Lanes.__add__)
)
