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

from hf_asr_endpoint.whisper import kernels
from hf_asr_endpoint.whisper.kernels.layout import (
    HEAD_DIM,
    N_COLUMNS,
    ZERO_POINT,
    cross_attention_scratch_bytes,
    padded,
)
from hf_asr_endpoint.whisper.kv_cache.cross_kv import AttendCross
from hf_asr_endpoint.whisper.kv_cache.shape import CacheShape, reserve
from hf_asr_endpoint.whisper.process import N_CORES


@dataclass(frozen=True, slots=True)
class _Window:
    """Where a window is, among `n_slots` places, and how long."""

    place: int
    n_positions: int


class Int8CrossKVCache:
    """See `CrossKVCache`. For HEAD_DIM, and queries in bfloat16."""

    def __init__(self, shape: CacheShape) -> None:
        self._shape = shape
        n_bytes = 2 * shape.n_heads * HEAD_DIM * (padded(shape.max_positions) + torch.float32.itemsize)
        self._memory = reserve((shape.n_slots, shape.n_layers, n_bytes), torch.uint8)
        self._windows: dict[int, _Window] = {}
        self._attend, self._quantize = kernels.cross_attention_kernel(), kernels.quantize_cross_kv_kernel()
        self._scratch_bytes = cross_attention_scratch_bytes(shape.max_positions)
        self._scratch = torch.empty((N_CORES, self._scratch_bytes), dtype=torch.uint8)

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
        columns = keys_and_values.contiguous()
        address = self._memory[self._windows[slot].place, layer].data_ptr()
        self._quantize((columns.data_ptr(), address, len(columns), self._shape.n_heads))

    def keys(self, slot: int, layer: int) -> Tensor:
        window, n_heads = self._windows[slot], self._shape.n_heads
        n_bytes = n_heads * padded(window.n_positions) * HEAD_DIM
        memory = self._memory[window.place, layer]
        panels = memory[:n_bytes].view(n_heads, -1, HEAD_DIM // 4, N_COLUMNS, 4)
        rounded = panels.transpose(2, 3).reshape(n_heads, -1, HEAD_DIM)[:, : window.n_positions]
        n_scales = n_heads * HEAD_DIM * torch.float32.itemsize
        scales = memory[2 * n_bytes : 2 * n_bytes + n_scales].view(torch.float32)
        return (rounded.float() - ZERO_POINT) * scales.view(n_heads, 1, HEAD_DIM)

    def attention_for(self, slots: Sequence[int], *, n_tokens: int) -> AttendCross:
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
            self._attend((*addresses, first, self._shape.n_heads, len(table), self._scratch_bytes))
            return attended

        return attend
