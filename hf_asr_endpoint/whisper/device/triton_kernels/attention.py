"""Triton kernels of decode attention.

Slots and lengths are read from tensors on the device, so that a captured graph serves any batch. Only positions
that hold keys are read. Softmax is computed online (Milakov and Gimelshein 2018, arXiv 1805.02867). Long windows
are split over programs, and a second kernel combines their results (Dao et al. 2023, "Flash-Decoding").
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

HEAD_DIM = 64
MIN_DOT = 16  # rows and columns of the smallest matrix product
BLOCK_KEYS = 64
N_PROGRAMS = 1_024  # that are enough to keep a large GPU busy
MAX_SPLITS = 16


@triton.jit
def _attend(
    queries, keys, values, slots, lengths, attended, partial, maxima, sums,
    n_heads, n_queries, capacity,
    IS_SPLIT: tl.constexpr, N_SPLITS: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
    DIM: tl.constexpr,
):  # fmt: skip
    """A program attends from all queries of one window and head to one part of the window's positions.

    queries, attended: shape = (n_windows, n_queries, n_heads, DIM). keys, values: shape = (n_slots, n_heads,
    capacity, DIM).
    """
    window, head, split = tl.program_id(0) // n_heads, tl.program_id(0) % n_heads, tl.program_id(1)
    length = tl.load(lengths + window)
    slot = tl.load(slots + window).to(tl.int64)
    size = tl.cdiv(tl.cdiv(length, N_SPLITS), BLOCK_K) * BLOCK_K
    first = split * size
    last = tl.minimum(first + size, length)
    query, channel, key = tl.arange(0, BLOCK_Q), tl.arange(0, DIM), tl.arange(0, BLOCK_K)
    is_query = query < n_queries
    rows = (window * n_queries + query) * n_heads + head
    q = tl.load(queries + rows[:, None] * DIM + channel[None, :], mask=is_query[:, None], other=0.0)
    base = (slot * n_heads + head) * capacity * DIM
    top = tl.full([BLOCK_Q], -float("inf"), tl.float32)
    total = tl.zeros([BLOCK_Q], tl.float32)
    acc = tl.zeros([BLOCK_Q, DIM], tl.float32)
    for start in range(first, last, BLOCK_K):
        position = start + key
        is_key = position < last
        offsets = position[:, None] * DIM + channel[None, :]
        k = tl.load(keys + base + offsets, mask=is_key[:, None], other=0.0)
        v = tl.load(values + base + offsets, mask=is_key[:, None], other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee")
        scores = tl.where(is_key[None, :], scores, -float("inf"))
        new_top = tl.maximum(top, tl.max(scores, 1))
        scale = tl.exp(top - new_top)
        weights = tl.exp(scores - new_top[:, None])
        total = total * scale + tl.sum(weights, 1)
        acc = tl.dot(weights.to(v.dtype), v, acc * scale[:, None], input_precision="ieee")
        top = new_top
    if IS_SPLIT:
        out = (tl.program_id(0) * N_SPLITS + split) * n_queries + query
        tl.store(partial + out[:, None] * DIM + channel[None, :], acc, mask=is_query[:, None])
        tl.store(maxima + out, top, mask=is_query)
        tl.store(sums + out, total, mask=is_query)
    else:
        found = acc / tl.where(total > 0, total, 1.0)[:, None]
        target = attended + rows[:, None] * DIM + channel[None, :]
        tl.store(target, found.to(attended.dtype.element_ty), mask=is_query[:, None])


@triton.jit
def _combine(
    partial, maxima, sums, attended, n_heads, n_queries,
    N_SPLITS: tl.constexpr, DIM: tl.constexpr,
):  # fmt: skip
    """A program combines the parts of one query of one window and head."""
    pair, query = tl.program_id(0), tl.program_id(1)
    window, head = pair // n_heads, pair % n_heads
    part, channel = tl.arange(0, N_SPLITS), tl.arange(0, DIM)
    found = (pair * N_SPLITS + part) * n_queries + query
    top = tl.load(maxima + found)
    highest = tl.max(top, 0)
    weights = tl.where(top == -float("inf"), 0.0, tl.exp(top - highest))
    total = tl.sum(weights * tl.load(sums + found), 0)
    acc = tl.load(partial + found[:, None] * DIM + channel[None, :])
    result = tl.sum(weights[:, None] * acc, 0) / tl.where(total > 0, total, 1.0)
    row = (window * n_queries + query) * n_heads + head
    tl.store(attended + row * DIM + channel, result.to(attended.dtype.element_ty))


def choose_splits(n_windows: int, n_heads: int) -> int:
    """Return a power of 2, so that there are about N_PROGRAMS programs."""
    n_splits = 1
    while n_splits < MAX_SPLITS and n_windows * n_heads * n_splits * 2 <= N_PROGRAMS:
        n_splits *= 2
    return n_splits


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, slots: Tensor, lengths: Tensor, *,
    n_splits: int | None = None, block_keys: int = BLOCK_KEYS, n_warps: int = 4, n_stages: int = 3,
) -> Tensor:  # fmt: skip
    """Return what queries attend to in their windows, shaped like the queries.

    queries: scaled, contiguous, shape = (n_windows, n_queries, n_heads, HEAD_DIM), at most MIN_DOT. keys,
    values: contiguous, shape = (n_slots, n_heads, capacity, HEAD_DIM). slots, lengths: int32, (n_windows,).
    n_splits: parts of a window, a power of 2; None chooses them. Where a length is 0, the result is 0.
    """
    n_windows, n_queries, n_heads, _ = queries.shape
    n_splits = choose_splits(n_windows, n_heads) if n_splits is None else n_splits
    attended = torch.empty_like(queries)
    stats = torch.empty(
        (2, n_windows * n_heads * n_splits * n_queries), device=queries.device, dtype=torch.float32
    )
    n_partial = stats.shape[1] * HEAD_DIM if n_splits > 1 else 1
    partial = torch.empty(n_partial, device=queries.device, dtype=torch.float32)
    _attend[(n_windows * n_heads, n_splits)](
        queries, keys, values, slots, lengths, attended, partial, stats[0], stats[1],
        n_heads, n_queries, keys.shape[2],
        IS_SPLIT=n_splits > 1, N_SPLITS=n_splits, BLOCK_Q=MIN_DOT, BLOCK_K=block_keys, DIM=HEAD_DIM,
        num_warps=n_warps, num_stages=n_stages,
    )  # fmt: skip
    if n_splits > 1:
        _combine[(n_windows * n_heads, n_queries)](
            partial, stats[0], stats[1], attended, n_heads, n_queries, N_SPLITS=n_splits, DIM=HEAD_DIM, num_warps=2
        )
    return attended


@triton.jit
def _attend_self(
    heads, keys, values, slots, positions, attended, n_heads, capacity,
    BLOCK_K: tl.constexpr, DIM: tl.constexpr,
):  # fmt: skip
    """A program caches one row's and head's key and value, and attends to them and to all before them.

    heads: queries (scaled), keys, values, shape = (n_rows, 3, n_heads, DIM).
    """
    row, head = tl.program_id(0) // n_heads, tl.program_id(0) % n_heads
    position = tl.load(positions + row)
    slot = tl.load(slots + row).to(tl.int64)
    channel, key = tl.arange(0, DIM), tl.arange(0, BLOCK_K)
    source = heads + (row * 3 * n_heads + head) * DIM + channel
    q = tl.load(source).to(tl.float32)
    own_key, own_value = tl.load(source + n_heads * DIM), tl.load(source + 2 * n_heads * DIM)
    base = (slot * n_heads + head) * capacity * DIM
    tl.store(keys + base + position * DIM + channel, own_key)
    tl.store(values + base + position * DIM + channel, own_value)
    # The own key and value come from registers: what this program has just stored need not be visible to it yet.
    top = tl.sum(q * own_key.to(tl.float32), 0)
    total = 1.0
    acc = own_value.to(tl.float32)
    for start in range(0, position, BLOCK_K):
        index = start + key
        is_key = index < position
        offsets = index[:, None] * DIM + channel[None, :]
        k = tl.load(keys + base + offsets, mask=is_key[:, None], other=0.0).to(tl.float32)
        v = tl.load(values + base + offsets, mask=is_key[:, None], other=0.0).to(tl.float32)
        scores = tl.where(is_key, tl.sum(k * q[None, :], 1), -float("inf"))
        new_top = tl.maximum(top, tl.max(scores, 0))
        scale = tl.exp(top - new_top)
        weights = tl.exp(scores - new_top)
        total = total * scale + tl.sum(weights, 0)
        acc = acc * scale + tl.sum(weights[:, None] * v, 0)
        top = new_top
    target = attended + (row * n_heads + head) * DIM + channel
    tl.store(target, (acc / total).to(attended.dtype.element_ty))


def attend_self(heads: Tensor, keys: Tensor, values: Tensor, slots: Tensor, positions: Tensor) -> Tensor:
    """Cache the rows' keys and values; return what they attend to, shape = (n_rows, n_heads, HEAD_DIM).

    heads: contiguous, queries (scaled), keys and values, shape = (n_rows, 3, n_heads, HEAD_DIM). keys, values: of
    the cache, shape = (n_slots, n_heads, capacity, HEAD_DIM). slots, positions: int32, shape = (n_rows,).
    """
    n_rows, _, n_heads, _ = heads.shape
    attended = heads.new_empty((n_rows, n_heads, HEAD_DIM))
    _attend_self[(n_rows * n_heads,)](
        heads, keys, values, slots, positions, attended, n_heads, keys.shape[2],
        BLOCK_K=BLOCK_KEYS, DIM=HEAD_DIM, num_warps=4,
    )  # fmt: skip
    return attended
