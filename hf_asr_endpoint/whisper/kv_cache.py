"""Caches of attention keys and values, with a row for each slot.

Every piece that attention reads is contiguous: torch's batched products on the CPU copy what is not, which
took longer than the products themselves.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

GROWTH = 64  # tokens by which the self-attention caches grow
N_LENGTHS = 5  # cross-attention comes in so many lengths, from a third of the window to all of it


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheShape:
    """What the caches must hold. max_positions: encoder positions; max_tokens: decoder prompt included."""

    n_slots: int
    n_layers: int
    n_heads: int
    head_dim: int
    max_tokens: int
    max_positions: int

    @property
    def lengths(self) -> tuple[int, ...]:
        """Return the encoder positions that a window may have: 500, 750 … 1,500 of Whisper's 1,500."""
        return tuple(self.max_positions * (part + 1) // (N_LENGTHS + 1) for part in range(1, N_LENGTHS + 1))

    def length_for(self, n_positions: int) -> int:
        """Return the least length that holds so many encoder positions."""
        return next(length for length in self.lengths if length >= n_positions)


@dataclass(frozen=True, slots=True, order=True)
class CrossRow:
    """Where a slot's cross-attention is: in the caches of its length, in which row."""

    length: int
    row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossKV:
    """Cross-attention of the rows of one length.

    keys: shape = (n_rows, n_heads, length, head_dim). values: (n_rows, n_heads, head_dim, length), which torch's
    product with a single row of weights reads a quarter faster than the other way round.
    """

    keys: Tensor
    values: Tensor


class KVCaches:
    """`self_kv` grows with the tokens; `cross_kv` is written once for a sequence, from its encoded window.

    The slots of one sequence share their row of `cross_kv`.

    On the CPU memory is reserved, not touched: what no sequence has reached costs nothing. It reads as
    zeros, because a mask hides what lies behind a sequence's end by multiplying it with 0, and 0 × NaN is NaN.
    """

    def __init__(self, shape: CacheShape, *, device: torch.device, dtype: torch.dtype) -> None:
        self.shape = shape
        self._device, self._dtype = device, dtype
        self.self_kv = [self._zeros(shape.n_slots, GROWTH) for _ in range(shape.n_layers)]
        """For each layer keys and values, shape = (2, n_slots, n_heads, n_tokens, head_dim)."""
        memory = [self._zeros(1, self._n_positions) for _ in range(shape.n_layers)]
        self.cross_kv = [{length: self._rows_of(flat, length) for length in shape.lengths} for flat in memory]
        """For each layer and length the rows' keys and values.

        The rows of all lengths are views of one memory, in which they are given places that do not overlap.
        """
        self.cross_masks = {length: self._hidden(length) for length in shape.lengths}
        """For each length 0 at a row's positions and -inf behind them, shape = (n_rows × n_heads, 1, length)."""
        self.cross_rows: dict[int, CrossRow] = {}
        """Where each slot's cross-attention is."""

    def place(self, slot: int, n_positions: int) -> CrossRow:
        """Find room for a slot's cross-attention, low rows first, so that those in use lie together.

        Slots that shared the one it had lose it.
        """
        before = self.cross_rows.get(slot)
        self.cross_rows = {other: place for other, place in self.cross_rows.items() if place != before}
        length = self.shape.length_for(n_positions)
        taken = [(other.row * other.length, (other.row + 1) * other.length) for other in self.cross_rows.values()]
        place = next(
            CrossRow(length, row)
            for row in range(self._n_positions // length)
            if all(end <= row * length or begin >= (row + 1) * length for begin, end in taken)
        )
        self.cross_rows[slot] = place
        mask = self.cross_masks[length].view(-1, self.shape.n_heads, length)[place.row]
        mask[:, :n_positions], mask[:, n_positions:] = 0.0, -torch.inf
        return place

    def share(self, slot: int, others: Iterable[int]) -> None:
        """Have other slots see the cross-attention of a slot."""
        self.cross_rows |= dict.fromkeys(others, self.cross_rows[slot])

    def write_cross(self, place: CrossRow, layer: int, keys_and_values: Tensor) -> None:
        """Store a layer's cross-attention, shape = (n_positions, 2 × n_heads × head_dim): keys, then values.

        What is left of the row becomes zeros, so that nothing of its last owner, infinities say, is met there.
        """
        n_positions = len(keys_and_values)
        keys, values = keys_and_values.view(n_positions, 2, self.shape.n_heads, self.shape.head_dim).unbind(1)
        cached = self.cross_kv[layer][place.length]
        cached.keys[place.row, :, :n_positions] = keys.transpose(0, 1)
        cached.values[place.row, :, :, :n_positions] = values.permute(1, 2, 0)
        cached.keys[place.row, :, n_positions:] = 0
        cached.values[place.row, :, :, n_positions:] = 0

    def copy_tokens(self, sources: Mapping[int, int], *, n_tokens: int) -> None:
        """Have slots hold what other slots hold of self-attention, up to so many tokens.

        sources: by the slots that are written to. They may change places.
        """
        to, origin = list(sources), list(sources.values())
        for cache in self.self_kv:
            cache[:, to, :, :n_tokens] = cache[:, origin, :, :n_tokens]

    def free(self, slot: int) -> None:
        """Forget a slot; when it was the last one, give back what long texts took."""
        self.cross_rows.pop(slot, None)
        if not self.cross_rows and self.self_kv[0].shape[3] > GROWTH:
            self.self_kv = [self._zeros(self.shape.n_slots, GROWTH) for _ in self.self_kv]
            return
        for cache in self.self_kv:
            cache[:, slot] = 0  # For the next owner, see above.

    def reach(self, n_tokens: int) -> int:
        """Make room for so many tokens in each slot; return for how many there is room."""
        room = self.self_kv[0].shape[3]
        if n_tokens > room:
            grown = min(-(-n_tokens // GROWTH) * GROWTH, self.shape.max_tokens)
            for layer, before in enumerate(self.self_kv):
                after = self._zeros(self.shape.n_slots, grown)
                after[:, :, :, :room] = before
                self.self_kv[layer] = after
            return grown
        return room

    @property
    def _n_positions(self) -> int:
        """Return how many positions the memory has for each head: a row can be in the way of two others."""
        return 2 * self.shape.n_slots * self.shape.max_positions

    def _rows_of(self, flat: Tensor, length: int) -> CrossKV:
        n_rows, n_heads, head_dim = self._n_positions // length, self.shape.n_heads, self.shape.head_dim
        keys, values = flat.view(2, -1)[:, : n_rows * n_heads * length * head_dim]
        return CrossKV(
            keys=keys.view(n_rows, n_heads, length, head_dim),
            values=values.view(n_rows, n_heads, head_dim, length),
        )

    def _hidden(self, length: int) -> Tensor:
        size = (self._n_positions // length * self.shape.n_heads, 1, length)
        return torch.full(size, -torch.inf, device=self._device, dtype=self._dtype)

    def _zeros(self, n_slots: int, n_rows: int) -> Tensor:
        """Return zeros; on the CPU in pages that take no memory until they are written, unlike torch's own."""
        size = (2, n_slots, self.shape.n_heads, n_rows, self.shape.head_dim)
        if self._device.type != "cpu":
            return torch.zeros(size, device=self._device, dtype=self._dtype)
        return torch.frombuffer(_pages(math.prod(size) * self._dtype.itemsize), dtype=self._dtype).view(size)


def _pages(n_bytes: int) -> mmap.mmap:
    """Return memory in large pages where the system has them: fewer addresses to look up when it is read."""
    pages = mmap.mmap(-1, n_bytes)
    if hasattr(mmap, "MADV_HUGEPAGE"):  # Linux only.
        pages.madvise(mmap.MADV_HUGEPAGE)
    return pages
