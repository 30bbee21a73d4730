"""Cache of self-attention keys and values, with a row for each slot.

Every piece that attention reads is contiguous: torch's batched products on the CPU copy what is not, which
took longer than the products themselves.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

GROWTH = 64  # tokens by which the caches grow


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheShape:
    """What the caches must hold. max_positions: encoder positions; max_tokens: decoder prompt included."""

    n_slots: int
    n_layers: int
    n_heads: int
    head_dim: int
    max_tokens: int
    max_positions: int


class TokenCaches:
    """What each slot's tokens left for those after them. They grow with the longest text.

    On the CPU memory is reserved, not touched: what no sequence has reached costs nothing. It reads as
    zeros, because a mask hides what lies behind a sequence's end by multiplying it with 0, and 0 × NaN is NaN.
    """

    def __init__(self, shape: CacheShape, *, device: torch.device, dtype: torch.dtype) -> None:
        self.shape = shape
        self._device, self._dtype = device, dtype
        self.layers = [self._zeros(GROWTH) for _ in range(shape.n_layers)]
        """For each layer keys and values, shape = (2, n_slots, n_heads, n_tokens, head_dim)."""

    def copy(self, sources: Mapping[int, int], *, n_tokens: int) -> None:
        """Have slots hold what other slots hold, up to so many tokens.

        sources: by the slots that are written to. They may change places.
        """
        to, origin = list(sources), list(sources.values())
        for cache in self.layers:
            cache[:, to, :, :n_tokens] = cache[:, origin, :, :n_tokens]

    def free(self, slot: int) -> None:
        """Leave nothing of a slot's text behind for its next owner."""
        for cache in self.layers:
            cache[:, slot] = 0

    def shrink(self) -> None:
        """Give back what long texts took, when no slot has a text."""
        if self.layers[0].shape[3] > GROWTH:
            self.layers = [self._zeros(GROWTH) for _ in self.layers]

    def reach(self, n_tokens: int) -> int:
        """Make room for so many tokens in each slot; return for how many there is room."""
        room = self.layers[0].shape[3]
        if n_tokens > room:
            grown = min(-(-n_tokens // GROWTH) * GROWTH, self.shape.max_tokens)
            for layer, before in enumerate(self.layers):
                after = self._zeros(grown)
                after[:, :, :, :room] = before
                self.layers[layer] = after
            return grown
        return room

    def _zeros(self, n_tokens: int) -> Tensor:
        size = (2, self.shape.n_slots, self.shape.n_heads, n_tokens, self.shape.head_dim)
        if self._device.type != "cpu":
            return torch.zeros(size, device=self._device, dtype=self._dtype)
        return reserve(size, self._dtype)


def reserve(size: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return zeros on the CPU in pages that take no memory until they are written, unlike torch's own.

    The pages are large where the system has them: fewer addresses to look up when they are read.
    """
    pages = mmap.mmap(-1, math.prod(size) * dtype.itemsize)
    if hasattr(mmap, "MADV_HUGEPAGE"):  # Linux only.
        pages.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(pages, dtype=dtype).view(size)
