"""Cross-attention keys and values in 8-bit integers, on the CPU.

They are half of bfloat16's bytes, which is what a decoding step and its memory consist of. Each channel of a head
has a scale of its own over the window: keys have channels many times larger than others (Liu et al. 2024,
arXiv 2402.02750).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.cores import N_CORES
from hf_asr_endpoint.whisper.kernels.arithmetic import HEAD_DIM
from hf_asr_endpoint.whisper.kernels.int8_columns import quantise_columns
from hf_asr_endpoint.whisper.kernels.windows import attend_int8
from hf_asr_endpoint.whisper.kv_cache import CacheShape, reserve
from hf_asr_endpoint.whisper.windows import Attend

MOST_ROWS = 16  # of one sequence: more are quicker as a product of matrices


@dataclass(frozen=True, slots=True)
class _Window:
    """Where a window is, among `n_slots` places, and how long."""

    place: int
    n_positions: int


class Int8Windows:
    """See `Windows`. For HEAD_DIM, and queries in bfloat16."""

    def __init__(self, shape: CacheShape) -> None:
        self._shape = shape
        self._n_channels = 2 * shape.n_heads * HEAD_DIM
        n_bytes = self._n_channels * (shape.max_positions + torch.float32.itemsize)
        self._memory = reserve((shape.n_slots, shape.n_layers, n_bytes), torch.int8)
        self._windows: dict[int, _Window] = {}
        self._attend, self._quantise = attend_int8(), quantise_columns()
        self._scratch = torch.empty(N_CORES, shape.max_positions)

    @property
    def slots(self) -> Iterable[int]:
        return self._windows.keys()

    def place(self, slot: int, n_positions: int) -> None:
        before = self._windows.get(slot)
        self._windows = {other: window for other, window in self._windows.items() if window != before}
        taken = {window.place for window in self._windows.values()}
        place = next(place for place in range(self._shape.n_slots) if place not in taken)
        self._windows[slot] = _Window(place, n_positions)

    def share(self, slot: int, others: Iterable[int]) -> None:
        self._windows |= dict.fromkeys(others, self._windows[slot])

    def of(self, slot: int) -> int:
        return self._windows[slot].place

    def free(self, slot: int) -> None:
        self._windows.pop(slot, None)

    def write(self, slot: int, layer: int, keys_and_values: Tensor) -> None:
        rounded, scales = self._stored(self._windows[slot], layer)
        columns = keys_and_values.contiguous()
        self._quantise((columns.data_ptr(), rounded.data_ptr(), scales.data_ptr(), *columns.shape))

    def keys(self, slot: int, layer: int) -> Tensor:
        return self._restored(self._windows[slot], layer)[0].transpose(1, 2)

    def look(self, slots: Sequence[int], *, n_tokens: int) -> Attend:
        if n_tokens > MOST_ROWS:
            windows = [self._windows[slot] for slot in slots]
            return lambda layer, queries: self._attend_long(windows, layer, queries)
        rows: dict[_Window, list[int]] = defaultdict(list)
        for index, slot in enumerate(slots):
            rows[self._windows[slot]] += range(index * n_tokens, (index + 1) * n_tokens)
        order = torch.tensor([row for of_window in rows.values() for row in of_window])
        table, first = [], 0
        for window, of_window in rows.items():
            address = self._memory[window.place].data_ptr()
            table.append((address, window.n_positions, first, first + len(of_window)))
            first += len(of_window)
        windows_at_0 = torch.tensor(table)  # in the first layer

        def attend(layer: int, queries: Tensor) -> Tensor:
            in_layer = windows_at_0.clone()
            in_layer[:, 0] += layer * self._memory.stride(1)
            queries = queries.contiguous()
            attended = torch.empty_like(queries)
            addresses = [tensor.data_ptr() for tensor in (queries, attended, order, in_layer, self._scratch)]
            self._attend((*addresses, first, self._shape.n_heads, len(table), self._shape.max_positions))
            return attended

        return attend

    def _attend_long(self, windows: Sequence[_Window], layer: int, queries: Tensor) -> Tensor:
        """queries: shape = (n_sequences, n_tokens, n_heads, HEAD_DIM)."""
        attended = torch.empty_like(queries)
        for row, window in enumerate(windows):
            keys, values = self._restored(window, layer).to(queries.dtype)
            weights = torch.softmax(queries[row].transpose(0, 1) @ keys, dim=-1)
            attended[row] = (weights @ values.transpose(1, 2)).transpose(0, 1)
        return attended

    def _stored(self, window: _Window, layer: int) -> tuple[Tensor, Tensor]:
        """Return a window's integers, shape = (n_channels, n_positions), and scales, float32, (n_channels)."""
        memory, n_integers = self._memory[window.place, layer], self._n_channels * window.n_positions
        scales = memory[n_integers : n_integers + self._n_channels * torch.float32.itemsize].view(torch.float32)
        return memory[:n_integers].view(self._n_channels, window.n_positions), scales

    def _restored(self, window: _Window, layer: int) -> Tensor:
        """Return keys and values, float32, shape = (2, n_heads, HEAD_DIM, n_positions)."""
        rounded, scales = self._stored(window, layer)
        return (rounded.float() * scales[:, None]).view(2, self._shape.n_heads, HEAD_DIM, window.n_positions)
