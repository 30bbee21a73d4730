"""A Triton product with the exact GELU as its epilogue: cuBLASLt's is the tanh approximation."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

GROUP = 8  # row blocks that run together, so that the L2 cache serves them with the same columns


@triton.jit
def _product(
    x, weight, bias, y, n_rows, n_in, n_out,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
):  # fmt: skip
    """A program computes a block of BLOCK_M rows and BLOCK_N columns."""
    program = tl.program_id(0)
    n_row_blocks, n_column_blocks = tl.cdiv(n_rows, BLOCK_M), tl.cdiv(n_out, BLOCK_N)
    first = program // (GROUP_M * n_column_blocks) * GROUP_M
    size = tl.minimum(n_row_blocks - first, GROUP_M)
    within = program % (GROUP_M * n_column_blocks)
    row = (first + within % size) * BLOCK_M + tl.arange(0, BLOCK_M)
    column = within // size * BLOCK_N + tl.arange(0, BLOCK_N)
    inner = tl.arange(0, BLOCK_K)
    left = x + (row % n_rows)[:, None].to(tl.int64) * n_in + inner[None, :]
    right = weight + (column % n_out)[None, :].to(tl.int64) * n_in + inner[:, None]
    acc = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for start in range(0, n_in, BLOCK_K):
        acc = tl.dot(tl.load(left + start), tl.load(right + start), acc, input_precision="ieee")
    acc += tl.load(bias + column, mask=column < n_out, other=0.0).to(tl.float32)[None, :]
    acc = 0.5 * acc * (1.0 + tl.erf(acc * 0.7071067811865476))
    inside = (row < n_rows)[:, None] & (column < n_out)[None, :]
    at = row[:, None].to(tl.int64) * n_out + column[None, :]
    tl.store(y + at, tl.minimum(acc, 65504.0).to(y.dtype.element_ty), mask=inside)


def linear_gelu(
    x: Tensor, linear: tuple[Tensor, Tensor], *, block: tuple[int, int, int] = (128, 256, 64)
) -> Tensor:
    """Return gelu(x @ weight.T + bias). n_in is a multiple of the block's last size."""
    weight, bias = linear
    n_rows, n_in = x.shape
    block_m, block_n, block_k = block
    y = torch.empty((n_rows, len(weight)), device=x.device, dtype=x.dtype)
    grid = (triton.cdiv(n_rows, block_m) * triton.cdiv(len(weight), block_n),)
    _product[grid](
        x, weight, bias, y, n_rows, n_in, len(weight),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k, GROUP_M=GROUP, num_warps=8, num_stages=3,
    )  # fmt: skip
    return y
