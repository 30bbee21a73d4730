"""Triton kernels over rows of activations: layer norms with the residual, and linear layers of few rows."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

EPSILON = 1e-5  # added to the variance, as by torch
MAX_HALF = 65_504.0  # float16's largest number
MIN_DOT = 16


@triton.jit
def _add_norm(x, y, bias, weight, shift, total, normed, n_columns, LIMIT: tl.constexpr, BLOCK: tl.constexpr):
    """A program adds one row of y and the bias to x, and normalizes the sum."""
    row, column = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    inside = column < n_columns
    at = row * n_columns + column
    sums = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    sums += tl.load(y + at, mask=inside, other=0.0).to(tl.float32)
    sums += tl.load(bias + column, mask=inside, other=0.0).to(tl.float32)
    # Clamped always: asking whether a number is infinite would make the host wait.
    rounded = tl.minimum(tl.maximum(sums, -LIMIT), LIMIT).to(total.dtype.element_ty)
    tl.store(total + at, rounded, mask=inside)
    values = rounded.to(tl.float32)
    mean = tl.sum(values, 0) / n_columns
    centred = tl.where(inside, values - mean, 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(centred * centred, 0) / n_columns + 1e-5)
    w = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(shift + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(normed + at, (centred * scale * w + b).to(normed.dtype.element_ty), mask=inside)


def add_norm(x: Tensor, y: Tensor, bias: Tensor, norm: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return x + y + bias, clamped to float16's range, and its layer norm. All rows are contiguous."""
    total, normed = torch.empty_like(x), torch.empty_like(x)
    n_columns = x.shape[-1]
    _add_norm[(x.numel() // n_columns,)](
        x,
        y,
        bias,
        *norm,
        total,
        normed,
        n_columns,
        LIMIT=MAX_HALF,
        BLOCK=triton.next_power_of_2(n_columns),
        num_warps=4,
    )
    return total, normed


@triton.jit
def _embed(tokens, positions, embeddings, places, weight, shift, total, normed, n_columns, BLOCK: tl.constexpr):
    """A program embeds one row's token and position, and normalizes the sum."""
    row, column = tl.program_id(0), tl.arange(0, BLOCK)
    inside = column < n_columns
    token, position = tl.load(tokens + row).to(tl.int64), tl.load(positions + row).to(tl.int64)
    sums = tl.load(embeddings + token * n_columns + column, mask=inside, other=0.0).to(tl.float32)
    sums += tl.load(places + position * n_columns + column, mask=inside, other=0.0).to(tl.float32)
    rounded = sums.to(total.dtype.element_ty)
    tl.store(total + row * n_columns + column, rounded, mask=inside)
    values = rounded.to(tl.float32)
    mean = tl.sum(values, 0) / n_columns
    centred = tl.where(inside, values - mean, 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(centred * centred, 0) / n_columns + 1e-5)
    w = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(shift + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(normed + row * n_columns + column, (centred * scale * w + b).to(normed.dtype.element_ty), mask=inside)


def embed(
    tokens: Tensor, positions: Tensor, embeddings: Tensor, places: Tensor, norm: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the rows' embedded tokens with their positions, and the layer norm of these."""
    n_columns = embeddings.shape[1]
    total = embeddings.new_empty((len(tokens), n_columns))
    normed = torch.empty_like(total)
    _embed[(len(tokens),)](
        tokens, positions, embeddings, places, *norm, total, normed, n_columns,
        BLOCK=triton.next_power_of_2(n_columns), num_warps=4,
    )  # fmt: skip
    return total, normed


@triton.jit
def _linear_rows(
    x, weight, bias, norm_weight, norm_shift, residual, y, n_rows, n_in, n_out,
    HAS_NORM: tl.constexpr, HAS_GELU: tl.constexpr, HAS_RESIDUAL: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, LIMIT: tl.constexpr,
):  # fmt: skip
    """A program computes BLOCK_N outputs of all rows. The time is that of reading the weight once."""
    row, inner = tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_K)
    column = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    is_row, is_column = row < n_rows, column < n_out
    mean = tl.zeros([BLOCK_M], tl.float32)
    scale = tl.zeros([BLOCK_M], tl.float32)
    if HAS_NORM:  # Each program computes the norm itself: the rows are few, and in the L2 cache.
        sums = tl.zeros([BLOCK_M], tl.float32)
        squares = tl.zeros([BLOCK_M], tl.float32)
        for start in range(0, n_in, BLOCK_K):
            at = row[:, None] * n_in + start + inner[None, :]
            tile = tl.load(x + at, mask=is_row[:, None], other=0.0).to(tl.float32)
            sums += tl.sum(tile, 1)
        mean = sums / n_in
        for start in range(0, n_in, BLOCK_K):
            at = row[:, None] * n_in + start + inner[None, :]
            tile = tl.load(x + at, mask=is_row[:, None], other=0.0).to(tl.float32) - mean[:, None]
            squares += tl.sum(tile * tile, 1)
        scale = 1.0 / tl.sqrt(squares / n_in + 1e-5)
    acc = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for start in range(0, n_in, BLOCK_K):
        k = start + inner
        at = column[:, None].to(tl.int64) * n_in + k[None, :]
        w = tl.load(weight + at, mask=is_column[:, None], other=0.0)
        tile = tl.load(x + row[:, None] * n_in + k[None, :], mask=is_row[:, None], other=0.0)
        if HAS_NORM:
            gain, shift = tl.load(norm_weight + k).to(tl.float32), tl.load(norm_shift + k).to(tl.float32)
            tile = ((tile.to(tl.float32) - mean[:, None]) * scale[:, None] * gain[None, :] + shift[None, :]).to(
                w.dtype
            )
        acc = tl.dot(tile, tl.trans(w), acc, input_precision="ieee")
    acc += tl.load(bias + column, mask=is_column, other=0.0).to(tl.float32)[None, :]
    if HAS_GELU:
        acc = 0.5 * acc * (1.0 + tl.erf(acc * 0.7071067811865476))
    at = row[:, None] * n_out + column[None, :]
    inside = is_row[:, None] & is_column[None, :]
    if HAS_RESIDUAL:
        acc += tl.load(residual + at, mask=inside, other=0.0).to(tl.float32)
        acc = tl.minimum(tl.maximum(acc, -LIMIT), LIMIT)
    tl.store(y + at, acc.to(y.dtype.element_ty), mask=inside)


def linear_rows(
    x: Tensor, weight: Tensor, bias: Tensor, *,
    norm: tuple[Tensor, Tensor] | None = None, residual: Tensor | None = None, has_gelu: bool = False,
    block_columns: int = 16, block_inner: int = 128, n_warps: int = 4, n_stages: int = 4,
) -> Tensor:  # fmt: skip
    """Return a linear layer of few rows, with a layer norm before it, and GELU or the residual after it.

    x: contiguous, shape = (n_rows, n_in), up to 64 rows; n_in is a multiple of block_inner. GELU is the exact one.
    """
    n_rows, n_in = x.shape
    n_out = len(weight)
    y = x.new_empty((n_rows, n_out))
    weights = (bias, bias) if norm is None else norm
    _linear_rows[(triton.cdiv(n_out, block_columns),)](
        x, weight, bias, *weights, x if residual is None else residual, y, n_rows, n_in, n_out,
        HAS_NORM=norm is not None, HAS_GELU=has_gelu, HAS_RESIDUAL=residual is not None,
        BLOCK_M=max(MIN_DOT, triton.next_power_of_2(n_rows)), BLOCK_N=block_columns, BLOCK_K=block_inner,
        LIMIT=MAX_HALF, num_warps=n_warps, num_stages=n_stages,
    )  # fmt: skip
    return y
