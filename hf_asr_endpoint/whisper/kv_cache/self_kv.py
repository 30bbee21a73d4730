"""Self-attention's cache: the seam that the decoder uses, and the dense cache for any dtype on any device.

The dense cache has a row for each slot. Everything that attention reads is contiguous: torch's batched products on
the CPU copy what is not, which took longer than the products themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.kv_cache.batched_attention import batched_attention, contiguous_runs
from hf_asr_endpoint.whisper.kv_cache.shape import CacheShape
from hf_asr_endpoint.whisper.memory import lazy_zeros

SelfAttentionStep = Callable[[int, Tensor], Tensor]
"""Runs one layer's self-attention for the new tokens of a batch, and caches their keys and values.

Takes the layer's index and the tokens' queries (scaled), keys and values, shape = (n_sequences, n_tokens, 3,
n_heads, head_dim). Returns what each token attends to, of itself and all tokens before it, shape = (n_sequences,
n_tokens, n_heads, head_dim)."""


class SelfKVCache(Protocol):
    """The keys and values of each slot's tokens."""

    def attention_for(self, slots: Sequence[int], *, n_cached: Sequence[int], n_tokens: int) -> SelfAttentionStep:
        """Return the self-attention of `n_tokens` new tokens in each slot.

        slots: ascending. n_cached: the tokens that each slot's cache holds already.
        """
        ...

    def copy(self, sources: Mapping[int, int], *, n_tokens: int) -> None:
        """Copy the first `n_tokens` tokens of slots to other slots.

        sources: by the slot that is written to. A slot may be read and written: all are read as they were before.
        """
        ...

    def free(self, slot: int) -> None:
        """Clear a slot for its next sequence and give back memory."""
        ...


GROWTH_TOKENS = 64  # the dense cache grows by multiples of this


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Adjacent rows of a batch whose slots are adjacent, too.

    mask: added to the scores, shape = (n_rows × n_heads, n_tokens, capacity).
    """

    rows: slice
    slots: slice
    mask: Tensor


class DenseSelfKVCache:
    """See `SelfKVCache`. All slots have the same capacity, which grows with the longest sequence."""

    def __init__(self, shape: CacheShape, *, device: torch.device, dtype: torch.dtype) -> None:
        self._shape = shape
        self._device, self._dtype = device, dtype
        self._in_use: set[int] = set()
        # For each layer keys and values, shape = (2, slots, n_heads, capacity, head_dim). At first zeros: a mask
        # hides what is unwritten by multiplying it with 0, which does not hide a NaN.
        self._layers = [self._zeros(GROWTH_TOKENS) for _ in range(shape.n_layers)]

    @property
    def capacity(self) -> int:
        """Tokens that each slot has memory for."""
        return self._layers[0].shape[3]

    def attention_for(self, slots: Sequence[int], *, n_cached: Sequence[int], n_tokens: int) -> SelfAttentionStep:
        self._in_use.update(slots)
        self._grow_to(max(n_cached) + n_tokens)
        first_positions = torch.tensor(n_cached, device=self._device)[:, None]
        positions = first_positions + torch.arange(n_tokens, device=self._device)
        rows = torch.tensor(slots, device=self._device)[:, None]
        runs = list(self._runs(slots, positions))

        def attend(layer: int, heads: Tensor) -> Tensor:
            cache = self._layers[layer]
            cache[:, rows, :, positions] = heads[:, :, 1:]
            queries = heads[:, :, 0]
            attended = torch.empty_like(queries, memory_format=torch.contiguous_format)
            for run in runs:
                keys, values = cache[0, run.slots], cache[1, run.slots]
                attended[run.rows] = batched_attention(queries[run.rows], keys, values, run.mask)
            return attended

        return attend

    def copy(self, sources: Mapping[int, int], *, n_tokens: int) -> None:
        written, read = list(sources), list(sources.values())
        for cache in self._layers:
            cache[:, written, :, :n_tokens] = cache[:, read, :, :n_tokens]

    def free(self, slot: int) -> None:
        self._in_use.discard(slot)
        if not self._in_use and self.capacity > GROWTH_TOKENS:
            self._layers = [self._zeros(GROWTH_TOKENS) for _ in self._layers]
        for cache in self._layers:
            cache[:, slot] = 0

    def _runs(self, slots: Sequence[int], positions: Tensor) -> Iterator[_Run]:
        """Mask all tokens after each new one. positions: of the new tokens, shape = (n_sequences, n_tokens)."""
        is_hidden = torch.arange(self.capacity, device=self._device) > positions[:, :, None]
        mask = torch.zeros(is_hidden.shape, device=self._device, dtype=self._dtype)
        n_heads = self._shape.n_heads
        mask = mask.masked_fill_(is_hidden, -torch.inf).repeat_interleave(n_heads, dim=0)
        for begin, end in contiguous_runs(slots):
            yield _Run(
                rows=slice(begin, end),
                slots=slice(slots[begin], slots[begin] + end - begin),
                mask=mask[begin * n_heads : end * n_heads],
            )

    def _grow_to(self, n_tokens: int) -> None:
        capacity = self.capacity
        if n_tokens <= capacity:
            return
        grown = min(-(-n_tokens // GROWTH_TOKENS) * GROWTH_TOKENS, self._shape.max_tokens)
        for layer, before in enumerate(self._layers):
            after = self._zeros(grown)
            after[:, :, :, :capacity] = before
            self._layers[layer] = after

    def _zeros(self, n_tokens: int) -> Tensor:
        size = (2, self._shape.slots, self._shape.n_heads, n_tokens, self._shape.head_dim)
        if self._device.type != "cpu":
            return torch.zeros(size, device=self._device, dtype=self._dtype)
        return lazy_zeros(size, self._dtype)
