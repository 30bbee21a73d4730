"""Self-attention in any dtype on any device, by torch's batched products over a cache with a row for each slot.

Every piece that attention reads is contiguous: torch's batched products on the CPU copy what is not, which
took longer than the products themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.kv_cache.shape import CacheShape, contiguous_runs, reserve
from hf_asr_endpoint.whisper.model.attention import decoder_attention

AttendSelf = Callable[[int, Tensor], Tensor]
"""A layer and new tokens' queries, scaled, keys and values, shape = (n_sequences, n_tokens, 3, n_heads, head_dim),
to what each token attends to of itself and all before it, shape = (n_sequences, n_tokens, n_heads, head_dim).
The keys and values are kept for the tokens to come."""


class SelfKVCache(Protocol):
    """The keys and values of each slot's tokens."""

    def attention_for(self, slots: Sequence[int], *, begins: Sequence[int], n_tokens: int) -> AttendSelf:
        """Return what attends from equally many new tokens of each slot.

        slots: in ascending order. begins: how many tokens each has already.
        """
        ...

    def copy(self, sources: Mapping[int, int], *, n_tokens: int) -> None:
        """Have slots hold what other slots hold, up to so many tokens.

        sources: by the slots that are written to. They may change places.
        """
        ...

    def free(self, slot: int) -> None:
        """Leave nothing of a slot's text behind for its next owner, and give back what it took."""
        ...


GROWTH = 64  # tokens by which the caches grow


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Rows of the batch whose slots are contiguous_runs.

    mask: added to the scores, shape = (n_rows × n_heads, n_tokens, n_places).
    """

    rows: slice
    slots: slice
    mask: Tensor


class DenseSelfKVCache:
    """See `SelfKVCache`. The caches grow with the longest text.

    On the CPU memory is reserved, not touched: what no sequence has reached costs nothing. It reads as
    zeros, because a mask hides what lies behind a sequence's end by multiplying it with 0, and 0 × NaN is NaN.
    """

    def __init__(self, shape: CacheShape, *, device: torch.device, dtype: torch.dtype) -> None:
        self._shape = shape
        self._device, self._dtype = device, dtype
        self._in_use: set[int] = set()
        self._layers = [self._zeros(GROWTH) for _ in range(shape.n_layers)]
        # For each layer keys and values, shape = (2, n_slots, n_heads, room, head_dim).

    @property
    def room(self) -> int:
        """Tokens that the caches reach to."""
        return self._layers[0].shape[3]

    def attention_for(self, slots: Sequence[int], *, begins: Sequence[int], n_tokens: int) -> AttendSelf:
        self._in_use.update(slots)
        self._reach(max(begins) + n_tokens)
        positions = torch.tensor(begins, device=self._device)[:, None] + torch.arange(
            n_tokens, device=self._device
        )
        rows = torch.tensor(slots, device=self._device)[:, None]
        runs = list(self._runs(slots, positions))

        def attend(layer: int, heads: Tensor) -> Tensor:
            cache = self._layers[layer]
            cache[:, rows, :, positions] = heads[:, :, 1:]
            queries = heads[:, :, 0]
            attended = torch.empty_like(queries, memory_format=torch.contiguous_format)
            for run in runs:
                keys, values = cache[0, run.slots], cache[1, run.slots]
                attended[run.rows] = decoder_attention(queries[run.rows], keys, values, run.mask)
            return attended

        return attend

    def copy(self, sources: Mapping[int, int], *, n_tokens: int) -> None:
        to, origin = list(sources), list(sources.values())
        for cache in self._layers:
            cache[:, to, :, :n_tokens] = cache[:, origin, :, :n_tokens]

    def free(self, slot: int) -> None:
        self._in_use.discard(slot)
        if not self._in_use and self.room > GROWTH:
            self._layers = [self._zeros(GROWTH) for _ in self._layers]
        for cache in self._layers:
            cache[:, slot] = 0

    def _runs(self, slots: Sequence[int], positions: Tensor) -> Iterator[_Run]:
        """Each token sees itself and all before it. positions: shape = (n_sequences, n_tokens)."""
        is_hidden = torch.arange(self.room, device=self._device) > positions[:, :, None]
        mask = torch.zeros(is_hidden.shape, device=self._device, dtype=self._dtype)
        n_heads = self._shape.n_heads
        mask = mask.masked_fill_(is_hidden, -torch.inf).repeat_interleave(n_heads, dim=0)
        for begin, end in contiguous_runs(slots):
            yield _Run(
                rows=slice(begin, end),
                slots=slice(slots[begin], slots[begin] + end - begin),
                mask=mask[begin * n_heads : end * n_heads],
            )

    def _reach(self, n_tokens: int) -> None:
        """Make room for so many tokens in each slot."""
        room = self.room
        if n_tokens <= room:
            return
        grown = min(-(-n_tokens // GROWTH) * GROWTH, self._shape.max_tokens)
        for layer, before in enumerate(self._layers):
            after = self._zeros(grown)
            after[:, :, :, :room] = before
            self._layers[layer] = after

    def _zeros(self, n_tokens: int) -> Tensor:
        size = (2, self._shape.n_slots, self._shape.n_heads, n_tokens, self._shape.head_dim)
        if self._device.type != "cpu":
            return torch.zeros(size, device=self._device, dtype=self._dtype)
        return reserve(size, self._dtype)
