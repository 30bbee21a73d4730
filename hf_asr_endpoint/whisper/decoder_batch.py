"""What a decoder pass needs to know of its batch, worked out once for all layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """How far attention reaches into a cache.

    mask: added to the scores, shape = (n_slots × n_heads, n_tokens, length); None where all may be seen.
    """

    length: int
    mask: Tensor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Neighbouring slots: rows of the batch, rows of the caches, and what they see of either cache."""

    rows: slice
    slots: slice
    own: Span
    cross: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderBatch:
    """Tokens to feed, in the order of their slots.

    tokens, positions: int64, shape = (n_sequences, n_tokens). slots: int64, shape = (n_sequences, 1).
    """

    tokens: Tensor
    positions: Tensor
    slots: Tensor
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchBuilder:
    """Makes batches for a model's caches."""

    n_heads: int
    device: torch.device
    dtype: torch.dtype

    def build(
        self,
        *,
        slots: Sequence[int],
        tokens: Sequence[Sequence[int]],
        begins: Sequence[int],
        n_positions: Sequence[int],
    ) -> DecoderBatch:
        """Return the batch that feeds equally many tokens to each slot.

        slots: ascending. begins: how many tokens each slot has been fed. n_positions: how many encoder
        positions each slot of the caches has, listed by slot.
        """
        first = torch.tensor(begins, device=self.device)[:, None]
        positions = first + torch.arange(len(tokens[0]), device=self.device)
        runs = []
        for rows in _neighbours(slots):
            in_run = slice(slots[rows.start], slots[rows.stop - 1] + 1)
            own = self._own_span(positions[rows], ends=[begin + len(tokens[0]) for begin in begins[rows]])
            runs.append(Run(rows=rows, slots=in_run, own=own, cross=self._cross_span(n_positions[in_run])))
        return DecoderBatch(
            tokens=torch.tensor(tokens, device=self.device),
            positions=positions,
            slots=torch.tensor(slots, device=self.device)[:, None],
            runs=tuple(runs),
        )

    def _own_span(self, positions: Tensor, *, ends: Sequence[int]) -> Span:
        """Each token sees itself and all before it. ends: how many tokens each slot will have been fed."""
        length = max(ends)
        if positions.shape[1] == 1 and min(ends) == length:
            return Span(length=length, mask=None)
        is_later = torch.arange(length, device=self.device) > positions[:, :, None]
        return Span(length=length, mask=self._mask(is_later))

    def _cross_span(self, n_positions: Sequence[int]) -> Span:
        length = max(n_positions)
        if min(n_positions) == length:
            return Span(length=length, mask=None)
        ends = torch.tensor(n_positions, device=self.device)[:, None, None]
        return Span(length=length, mask=self._mask(torch.arange(length, device=self.device) >= ends))

    def _mask(self, is_hidden: Tensor) -> Tensor:
        """is_hidden: shape = (n_slots, n_tokens or 1, length)."""
        mask = torch.zeros(is_hidden.shape, device=self.device, dtype=self.dtype)
        return mask.masked_fill_(is_hidden, -torch.inf).repeat_interleave(self.n_heads, dim=0)


def _neighbours(slots: Sequence[int]) -> Iterator[slice]:
    """Yield the ranges of rows whose slots follow one another without a gap."""
    begin = 0
    for row in range(1, len(slots) + 1):
        if row == len(slots) or slots[row] != slots[row - 1] + 1:
            yield slice(begin, row)
            begin = row
