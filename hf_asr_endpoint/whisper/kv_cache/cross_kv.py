"""Cross-attention's cache: the seam that the decoder uses, and the dense cache for any dtype on any device."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.kv_cache.batched_attention import Rows, batched_attention, contiguous_runs
from hf_asr_endpoint.whisper.kv_cache.shape import CacheShape
from hf_asr_endpoint.whisper.memory import lazy_zeros

CrossAttentionStep = Callable[[int, Tensor], Tensor]
"""Runs one layer's cross-attention for the tokens of a batch.

Takes the layer's index and the tokens' queries, scaled, shape = (n_sequences, n_tokens, n_heads, head_dim).
Returns what each token attends to in its window, in the same shape."""


class CrossKVReader(Protocol):
    """The keys and values of each slot's window. Slots may share a window."""

    def window_id(self, slot: int) -> Hashable:
        """Return an identifier of the slot's window, equal for the slots that share it."""
        ...

    def keys(self, slot: int, layer: int) -> Tensor:
        """Return a layer's keys, float32, shape = (n_heads, n_positions, head_dim)."""
        ...

    def attention_for(self, slots: Sequence[int], *, n_tokens: int) -> CrossAttentionStep:
        """Return the cross-attention of `n_tokens` tokens in each slot. slots: ascending."""
        ...


class CrossKVCache(CrossKVReader, Protocol):
    """The same with what fills it: keys and values are computed once for a window."""

    @property
    def occupied_slots(self) -> Iterable[int]:
        """The slots that have a window."""
        ...

    def allocate(self, slot: int, n_positions: int) -> None:
        """Give a slot memory for a new window. Slots that shared its old window lose that."""
        ...

    def share(self, slot: int, others: Iterable[int]) -> None:
        """Make other slots use a slot's window."""
        ...

    def free(self, slot: int) -> None:
        """Remove a slot's window, if it has one."""
        ...

    def write(self, slot: int, layer: int, keys_and_values: Tensor) -> None:
        """Store a layer's keys, then values, shape = (n_positions, 2 × n_heads × head_dim)."""
        ...


N_ROW_LENGTHS = 5  # windows are padded to one of five lengths, from a third of the longest window to all of it
KEY_STEP = 1 << 20  # exceeds all numbers of rows, so that sorting keys of different groups are never adjacent

Place = tuple[int, int]
"""Where a window is cached: the length of the row, and its number among the rows of that length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _RowsOfLength:
    """One layer's rows of one length.

    keys: shape = (n_rows, n_heads, length, head_dim). values: shape = (n_rows, n_heads, head_dim, length): torch's
    product with a single row of weights reads this layout a quarter faster than the transposed one.
    """

    keys: Tensor
    values: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Sequences of a batch whose windows are in adjacent rows of the cache, equally many sequences in each row.

    mask: added to the scores, shape = (n_rows × n_heads, 1, length).
    """

    batch_rows: Rows
    length: int
    cache_rows: slice
    mask: Tensor


class DenseCrossKVCache:
    """See `CrossKVCache`.

    A window takes a row of the shortest length that it fits. Rows of all lengths are views of the same memory, in
    which windows get places that do not overlap. On the CPU memory is reserved, not touched. The rest of a
    window's row is zeros: a mask hides it by multiplying it with 0, and 0 times an infinity that the row's last
    window left would be NaN.
    """

    def __init__(self, shape: CacheShape, *, device: torch.device, dtype: torch.dtype) -> None:
        self._shape = shape
        self.row_lengths = tuple(
            shape.max_positions * (part + 1) // (N_ROW_LENGTHS + 1) for part in range(1, N_ROW_LENGTHS + 1)
        )
        # A taken row can block two rows of another length, so there is memory for twice as many windows as slots.
        self._n_positions = 2 * shape.slots * shape.max_positions
        size = (2, self._n_positions * shape.n_heads * shape.head_dim)
        memory = [
            lazy_zeros(size, dtype) if device.type == "cpu" else torch.zeros(size, device=device, dtype=dtype)
            for _ in range(shape.n_layers)
        ]
        self._layers = [{length: self._view_rows(flat, length) for length in self.row_lengths} for flat in memory]
        self._masks = {
            length: torch.full(
                (self._n_positions // length * shape.n_heads, 1, length), -torch.inf, device=device, dtype=dtype
            )
            for length in self.row_lengths
        }
        self._places: dict[int, Place] = {}  # by slot
        self._lengths: dict[Place, int] = {}  # of windows, in positions

    @property
    def occupied_slots(self) -> Iterable[int]:
        return self._places.keys()

    def allocate(self, slot: int, n_positions: int) -> None:
        """Take the lowest free row, so that the rows in use are adjacent."""
        before = self._places.get(slot)
        self._places = {other: place for other, place in self._places.items() if place != before}
        length = next(length for length in self.row_lengths if length >= n_positions)
        taken = [(row * other, (row + 1) * other) for other, row in self._places.values()]
        row = next(
            row
            for row in range(self._n_positions // length)
            if all(end <= row * length or begin >= (row + 1) * length for begin, end in taken)
        )
        self._places[slot] = length, row
        self._lengths[length, row] = n_positions
        mask = self._masks[length].view(-1, self._shape.n_heads, length)[row]
        mask[:, :n_positions], mask[:, n_positions:] = 0.0, -torch.inf

    def share(self, slot: int, others: Iterable[int]) -> None:
        self._places |= dict.fromkeys(others, self._places[slot])

    def window_id(self, slot: int) -> Place:
        return self._places[slot]

    def free(self, slot: int) -> None:
        self._places.pop(slot, None)

    def write(self, slot: int, layer: int, keys_and_values: Tensor) -> None:
        length, row = self._places[slot]
        n_positions = len(keys_and_values)
        heads = keys_and_values.view(n_positions, 2, self._shape.n_heads, self._shape.head_dim)
        keys, values = heads.permute(1, 2, 0, 3)
        cached = self._layers[layer][length]
        cached.keys[row, :, :n_positions] = keys
        cached.values[row, :, :, :n_positions] = values.transpose(1, 2)
        cached.keys[row, :, n_positions:] = 0
        cached.values[row, :, :, n_positions:] = 0

    def keys(self, slot: int, layer: int) -> Tensor:
        length, row = place = self._places[slot]
        return self._layers[layer][length].keys[row, :, : self._lengths[place]].float()

    def attention_for(self, slots: Sequence[int], *, n_tokens: int) -> CrossAttentionStep:
        runs = self._runs(slots)

        def attend(layer: int, queries: Tensor) -> Tensor:
            attended = torch.empty_like(queries, memory_format=torch.contiguous_format)
            for run in runs:
                cached = self._layers[layer][run.length]
                keys, values = cached.keys[run.cache_rows], cached.values[run.cache_rows].transpose(2, 3)
                attended[run.batch_rows] = batched_attention(queries[run.batch_rows], keys, values, run.mask)
            return attended

        return attend

    def _runs(self, slots: Sequence[int]) -> list[_Run]:
        """Group the batch so that each group is one batched product."""
        batch_rows: dict[Place, list[int]] = defaultdict(list)
        for batch_row, slot in enumerate(slots):
            batch_rows[self._places[slot]].append(batch_row)
        places = sorted(batch_rows)
        # Adjacent numbers: rows of one length, shared by equally many sequences, one after the other.
        numbers = [(length * KEY_STEP + len(batch_rows[length, row])) * KEY_STEP + row for length, row in places]
        runs, n_heads = [], self._shape.n_heads
        for begin, end in contiguous_runs(numbers):
            rows = [row for place in places[begin:end] for row in batch_rows[place]]
            is_adjacent = rows == list(range(rows[0], rows[-1] + 1))
            length, first = places[begin]
            cache_rows = slice(first, first + end - begin)
            runs.append(
                _Run(
                    batch_rows=slice(rows[0], rows[-1] + 1) if is_adjacent else rows,
                    length=length,
                    cache_rows=cache_rows,
                    mask=self._masks[length][cache_rows.start * n_heads : cache_rows.stop * n_heads],
                )
            )
        return runs

    def _view_rows(self, flat: Tensor, length: int) -> _RowsOfLength:
        n_rows, n_heads, head_dim = self._n_positions // length, self._shape.n_heads, self._shape.head_dim
        keys, values = flat[:, : n_rows * n_heads * length * head_dim]
        return _RowsOfLength(
            keys=keys.view(n_rows, n_heads, length, head_dim),
            values=values.view(n_rows, n_heads, head_dim, length),
        )
