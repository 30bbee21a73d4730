"""Cross-attention keys and values in any dtype on any device, by torch's batched products."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.kv_cache.shape import CacheShape, Rows, contiguous_runs, reserve
from hf_asr_endpoint.whisper.model.attention import decoder_attention

AttendCross = Callable[[int, Tensor], Tensor]
"""A layer and its queries, scaled, shape = (n_sequences, n_tokens, n_heads, head_dim), to what they attend to."""


class CrossKVCache(Protocol):
    """The windows' keys and values, computed once for a window. The slots of one sequence share theirs."""

    @property
    def slots(self) -> Iterable[int]:
        """Those that have a window."""
        ...

    def place(self, slot: int, n_positions: int) -> None:
        """Make room for a slot's window. Slots that shared the one it had lose it."""
        ...

    def share(self, slot: int, others: Iterable[int]) -> None:
        """Have other slots see the window of a slot."""
        ...

    def of(self, slot: int) -> int | tuple[int, int]:
        """Return what tells a slot's window from others."""
        ...

    def free(self, slot: int) -> None:
        """Forget a slot's window, if it has one."""
        ...

    def write(self, slot: int, layer: int, keys_and_values: Tensor) -> None:
        """Store a layer's keys, then values, shape = (n_positions, 2 × n_heads × head_dim)."""
        ...

    def keys(self, slot: int, layer: int) -> Tensor:
        """Return a layer's keys, float32, shape = (n_heads, n_positions, head_dim)."""
        ...

    def attention_for(self, slots: Sequence[int], *, n_tokens: int) -> AttendCross:
        """Return what attends from equally many tokens of each slot, slots being in ascending order."""
        ...


N_LENGTHS = 5  # rows come in so many lengths, from a third of the window to all of it
FAR_APART = 1 << 20  # more than there are slots: rows of different lengths are no contiguous_runs

Place = tuple[int, int]
"""Where a window is: in the caches of its length, in which row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cached:
    """Cross-attention of the rows of one length.

    keys: shape = (n_rows, n_heads, length, head_dim). values: (n_rows, n_heads, head_dim, length), which torch's
    product with a single row of weights reads a quarter faster than the other way round.
    """

    keys: Tensor
    values: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Sequences of a batch whose windows are contiguous_runs in the caches.

    cached: their rows there; equally many sequences share each. mask: added to the scores, shape =
    (n_rows × n_heads, 1, length).
    """

    rows: Rows
    length: int
    cached: slice
    mask: Tensor


class DenseCrossKVCache:
    """See `CrossKVCache`.

    On the CPU memory is reserved, not touched. Behind a window its row has zeros: a mask hides them by
    multiplying them with 0, and 0 × infinity, of the row's last owner say, is NaN.
    """

    def __init__(self, shape: CacheShape, *, device: torch.device, dtype: torch.dtype) -> None:
        self._shape = shape
        self.lengths = tuple(
            shape.max_positions * (part + 1) // (N_LENGTHS + 1) for part in range(1, N_LENGTHS + 1)
        )
        # A row can be in the way of two others, so there is room for twice as many.
        self._n_positions = 2 * shape.n_slots * shape.max_positions
        size = (2, self._n_positions * shape.n_heads * shape.head_dim)
        memory = [
            reserve(size, dtype) if device.type == "cpu" else torch.zeros(size, device=device, dtype=dtype)
            for _ in range(shape.n_layers)
        ]
        self._cached = [{length: self._rows_of(flat, length) for length in self.lengths} for flat in memory]
        # The rows of all lengths are views of one memory, in which they are given places that do not overlap.
        self._masks = {
            length: torch.full(
                (self._n_positions // length * shape.n_heads, 1, length), -torch.inf, device=device, dtype=dtype
            )
            for length in self.lengths
        }
        self._places: dict[int, Place] = {}
        self._n_positions_of: dict[Place, int] = {}

    @property
    def slots(self) -> Iterable[int]:
        return self._places.keys()

    def place(self, slot: int, n_positions: int) -> None:
        """Low rows come first, so that those in use lie together."""
        before = self._places.get(slot)
        self._places = {other: place for other, place in self._places.items() if place != before}
        length = next(length for length in self.lengths if length >= n_positions)
        taken = [(row * other, (row + 1) * other) for other, row in self._places.values()]
        row = next(
            row
            for row in range(self._n_positions // length)
            if all(end <= row * length or begin >= (row + 1) * length for begin, end in taken)
        )
        self._places[slot] = length, row
        self._n_positions_of[length, row] = n_positions
        mask = self._masks[length].view(-1, self._shape.n_heads, length)[row]
        mask[:, :n_positions], mask[:, n_positions:] = 0.0, -torch.inf

    def share(self, slot: int, others: Iterable[int]) -> None:
        self._places |= dict.fromkeys(others, self._places[slot])

    def of(self, slot: int) -> Place:
        return self._places[slot]

    def free(self, slot: int) -> None:
        self._places.pop(slot, None)

    def write(self, slot: int, layer: int, keys_and_values: Tensor) -> None:
        length, row = self._places[slot]
        n_positions = len(keys_and_values)
        heads = keys_and_values.view(n_positions, 2, self._shape.n_heads, self._shape.head_dim)
        keys, values = heads.permute(1, 2, 0, 3)
        cached = self._cached[layer][length]
        cached.keys[row, :, :n_positions] = keys
        cached.values[row, :, :, :n_positions] = values.transpose(1, 2)
        cached.keys[row, :, n_positions:] = 0
        cached.values[row, :, :, n_positions:] = 0

    def keys(self, slot: int, layer: int) -> Tensor:
        length, row = place = self._places[slot]
        return self._cached[layer][length].keys[row, :, : self._n_positions_of[place]].float()

    def attention_for(self, slots: Sequence[int], *, n_tokens: int) -> AttendCross:
        runs = self._runs(slots)

        def attend(layer: int, queries: Tensor) -> Tensor:
            attended = torch.empty_like(queries, memory_format=torch.contiguous_format)
            for run in runs:
                cached = self._cached[layer][run.length]
                keys, values = cached.keys[run.cached], cached.values[run.cached].transpose(2, 3)
                attended[run.rows] = decoder_attention(queries[run.rows], keys, values, run.mask)
            return attended

        return attend

    def _runs(self, slots: Sequence[int]) -> list[_Run]:
        rows_at: dict[Place, list[int]] = defaultdict(list)
        for row, slot in enumerate(slots):
            rows_at[self._places[slot]].append(row)
        places = sorted(rows_at)
        numbers = [(length * FAR_APART + len(rows_at[length, row])) * FAR_APART + row for length, row in places]
        runs, n_heads = [], self._shape.n_heads
        for begin, end in contiguous_runs(numbers):
            rows = [row for place in places[begin:end] for row in rows_at[place]]
            in_order = rows == list(range(rows[0], rows[-1] + 1))
            length, first = places[begin]
            cached = slice(first, first + end - begin)
            runs.append(
                _Run(
                    rows=slice(rows[0], rows[-1] + 1) if in_order else rows,
                    length=length,
                    cached=cached,
                    mask=self._masks[length][cached.start * n_heads : cached.stop * n_heads],
                )
            )
        return runs

    def _rows_of(self, flat: Tensor, length: int) -> _Cached:
        n_rows, n_heads, head_dim = self._n_positions // length, self._shape.n_heads, self._shape.head_dim
        keys, values = flat[:, : n_rows * n_heads * length * head_dim]
        return _Cached(
            keys=keys.view(n_rows, n_heads, length, head_dim),
            values=values.view(n_rows, n_heads, head_dim, length),
        )
