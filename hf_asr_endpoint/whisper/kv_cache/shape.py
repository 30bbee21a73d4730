"""What the decoder's caches must hold, and memory for them."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheShape:
    """max_positions: encoder positions; max_tokens: decoder prompt included."""

    n_slots: int
    n_layers: int
    n_heads: int
    head_dim: int
    max_tokens: int
    max_positions: int


def reserve(size: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return zeros on the CPU in pages that take no memory until they are written, unlike torch's own.

    The pages are large where the system has them: fewer addresses to look up when they are read.
    """
    pages = mmap.mmap(-1, math.prod(size) * dtype.itemsize)
    if hasattr(mmap, "MADV_HUGEPAGE"):  # Linux only.
        pages.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(pages, dtype=dtype).view(size)


Rows = slice | list[int]
"""Rows of a batch: a range where they follow one another, which is a view and costs nothing."""


def contiguous_runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the ranges, begin and end, in which numbers follow one another without a gap."""
    begin = 0
    for index in range(1, len(numbers) + 1):
        if index == len(numbers) or numbers[index] != numbers[index - 1] + 1:
            yield begin, index
            begin = index
