"""Static caches of attention keys and values, with a row for each slot."""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheShape:
    """What the caches must hold. max_positions: encoder positions; max_tokens: decoder prompt included."""

    n_slots: int
    n_layers: int
    n_heads: int
    head_dim: int
    max_tokens: int
    max_positions: int


class KVCaches:
    """`self_kv` grows with each token; `cross_kv` is written once for a sequence, from its encoded window.

    The memory is reserved, not touched: what no sequence has reached costs nothing on the CPU. It reads as
    zeros, because a mask hides what lies behind a sequence's end by multiplying it with 0, and 0 × NaN is NaN.
    """

    def __init__(self, shape: CacheShape, *, device: torch.device, dtype: torch.dtype) -> None:
        def reserve(n_rows: int) -> list[Tensor]:
            size = (2, shape.n_slots, shape.n_heads, n_rows, shape.head_dim)
            return [_zeros(size, device=device, dtype=dtype) for _ in range(shape.n_layers)]

        self.shape = shape
        self.self_kv = reserve(shape.max_tokens)
        """For each layer keys and values, shape = (2, n_slots, n_heads, max_tokens, head_dim)."""
        self.cross_kv = reserve(shape.max_positions)
        """For each layer keys and values, shape = (2, n_slots, n_heads, max_positions, head_dim)."""
        self.n_positions = [0] * shape.n_slots
        """How many encoder positions each slot's cross-attention has."""

    def write_cross(self, slot: int, layer: int, keys_and_values: Tensor) -> None:
        """Store a layer's cross-attention, shape = (n_positions, 2 × n_heads × head_dim): keys, then values."""
        n_positions = len(keys_and_values)
        heads = keys_and_values.view(n_positions, 2, self.shape.n_heads, self.shape.head_dim)
        self.cross_kv[layer][:, slot, :, :n_positions].copy_(heads.permute(1, 2, 0, 3))
        self.n_positions[slot] = n_positions


def _zeros(size: tuple[int, ...], *, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return zeros; on the CPU in pages that take no memory until they are written, as torch's own do at once."""
    if device.type != "cpu":
        return torch.zeros(size, device=device, dtype=dtype)
    return torch.frombuffer(mmap.mmap(-1, math.prod(size) * dtype.itemsize), dtype=dtype).view(size)
