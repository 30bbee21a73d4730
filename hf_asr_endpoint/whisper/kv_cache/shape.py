"""The dimensions of the decoder's caches."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheShape:
    """slots: sequences cached at a time. max_tokens: prompt included. max_positions: of the encoder."""

    slots: int
    n_layers: int
    n_heads: int
    head_dim: int
    max_tokens: int
    max_positions: int
