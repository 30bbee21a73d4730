"""The dimensions of the decoder's caches, and memory for them."""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheShape:
    """slots: sequences cached at a time. max_tokens: prompt included. max_positions: of the encoder."""

    slots: int
    n_layers: int
    n_heads: int
    head_dim: int
    max_tokens: int
    max_positions: int


def lazy_zeros(size: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return zeros on the CPU whose pages take no memory until they are written, unlike those of `torch.zeros`.

    Pages are large where the system has large ones, so that reading them takes fewer address lookups.
    """
    pages = mmap.mmap(-1, math.prod(size) * dtype.itemsize)
    if hasattr(mmap, "MADV_HUGEPAGE"):  # Linux only
        pages.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(pages, dtype=dtype).view(size)
