"""What a decoder pass needs to know of its batch, worked out once for all layers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.kv_cache import CrossRow, KVCaches

FAR_APART = 1 << 20  # more than there are slots: rows of different lengths are no neighbours

Rows = slice | list[int]
"""Rows of a batch: a range where they follow one another, which is a view and costs nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Rows of the batch whose rows in a cache are neighbours.

    cached: their rows in the cache; equally many rows of the batch share each. length: how far the cache
    reaches. mask: added to the scores, shape = (n_rows × n_heads, 1 or n_tokens, length).
    """

    rows: Rows
    cached: slice
    length: int
    mask: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderBatch:
    """Tokens to feed, in the order of their slots.

    tokens, positions: int64, shape = (n_sequences, n_tokens). slots: int64, shape = (n_sequences, 1).
    own, cross: what of either cache the rows see.
    """

    tokens: Tensor
    positions: Tensor
    slots: Tensor
    own: tuple[Run, ...]
    cross: tuple[Run, ...]


class BatchBuilder:
    """Makes batches over a model's caches."""

    def __init__(self, caches: KVCaches, *, device: torch.device, dtype: torch.dtype) -> None:
        self._caches = caches
        self._device, self._dtype = device, dtype

    def build(
        self, *, slots: Sequence[int], tokens: Sequence[Sequence[int]], begins: Sequence[int]
    ) -> DecoderBatch:
        """Return the batch that feeds equally many tokens to each slot.

        slots: ascending. begins: how many tokens each slot has been fed.
        """
        n_tokens = len(tokens[0])
        first = torch.tensor(begins, device=self._device)[:, None]
        positions = first + torch.arange(n_tokens, device=self._device)
        return DecoderBatch(
            tokens=torch.tensor(tokens, device=self._device),
            positions=positions,
            slots=torch.tensor(slots, device=self._device)[:, None],
            own=tuple(self._own_runs(slots, positions, room=self._caches.reach(max(begins) + n_tokens))),
            cross=tuple(self._cross_runs(slots)),
        )

    def _own_runs(self, slots: Sequence[int], positions: Tensor, *, room: int) -> Iterator[Run]:
        """Each token sees itself and all before it. room: tokens that the cache reaches to."""
        mask = self._mask(torch.arange(room, device=self._device) > positions[:, :, None])
        n_heads = self._caches.shape.n_heads
        for begin, end in _neighbours(slots):
            in_cache = slice(slots[begin], slots[begin] + end - begin)
            hidden = mask[begin * n_heads : end * n_heads]
            yield Run(rows=slice(begin, end), cached=in_cache, length=room, mask=hidden)

    def _cross_runs(self, slots: Sequence[int]) -> Iterator[Run]:
        rows_at: dict[CrossRow, list[int]] = defaultdict(list)
        for row, slot in enumerate(slots):
            rows_at[self._caches.cross_rows[slot]].append(row)
        places = sorted(rows_at)
        keys = [(place.length * FAR_APART + len(rows_at[place])) * FAR_APART + place.row for place in places]
        for begin, end in _neighbours(keys):
            rows = [row for place in places[begin:end] for row in rows_at[place]]
            in_order = rows == list(range(rows[0], rows[-1] + 1))
            place = places[begin]
            in_cache = slice(place.row, place.row + end - begin)
            n_heads = self._caches.shape.n_heads
            mask = self._caches.cross_masks[place.length]
            yield Run(
                rows=slice(rows[0], rows[-1] + 1) if in_order else rows,
                cached=in_cache,
                length=place.length,
                mask=mask[in_cache.start * n_heads : in_cache.stop * n_heads],
            )

    def _mask(self, is_hidden: Tensor) -> Tensor:
        """is_hidden: shape = (n_sequences, n_tokens, length)."""
        mask = torch.zeros(is_hidden.shape, device=self._device, dtype=self._dtype)
        return mask.masked_fill_(is_hidden, -torch.inf).repeat_interleave(self._caches.shape.n_heads, dim=0)


def _neighbours(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the ranges, begin and end, in which numbers follow one another without a gap."""
    begin = 0
    for index in range(1, len(numbers) + 1):
        if index == len(numbers) or numbers[index] != numbers[index - 1] + 1:
            yield begin, index
            begin = index
