"""Cross-attention's cache in 8-bit integers, on the CPU.

It has half the bytes of bfloat16, and reading these bytes takes most of a decode step's time. Each channel of a
head has its own scale over the window, because some channels of keys are many times larger than others (Liu et al.
2024, arXiv 2402.02750).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.kernels import Kernels
from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM
from hf_asr_endpoint.whisper.kv_cache.cross_kv import CrossAttentionStep
from hf_asr_endpoint.whisper.kv_cache.shape import CacheShape
from hf_asr_endpoint.whisper.memory import lazy_zeros
from hf_asr_endpoint.whisper.threads import N_CORES


@dataclass(frozen=True, slots=True)
class _Window:
    """A cached window. row: in the cache's memory, which has one for each slot."""

    row: int
    n_positions: int


class Int8CrossKVCache:
    """See `CrossKVCache`. For heads of HEAD_DIM channels, and queries in the kernels' dtype."""

    def __init__(self, shape: CacheShape, kernels: Kernels) -> None:
        self._shape, self._layout = shape, kernels.layout
        n_bytes = (
            2
            * shape.n_heads
            * HEAD_DIM
            * (self._layout.padded_to_panels(shape.max_positions) + torch.float32.itemsize)
        )
        self._memory = lazy_zeros((shape.slots, shape.n_layers, n_bytes), torch.uint8)
        self._windows: dict[int, _Window] = {}  # by slot
        self._attend, self._quantize = kernels.cross_attention, kernels.quantize_cross_kv
        self._scratch_bytes = self._layout.cross_attention_scratch_bytes(shape.max_positions)
        self._scratch = torch.empty((N_CORES, self._scratch_bytes), dtype=torch.uint8)

    @property
    def occupied_slots(self) -> Iterable[int]:
        return self._windows.keys()

    def allocate(self, slot: int, n_positions: int) -> None:
        before = self._windows.get(slot)
        self._windows = {other: window for other, window in self._windows.items() if window != before}
        taken = {window.row for window in self._windows.values()}
        row = next(row for row in range(self._shape.slots) if row not in taken)
        self._windows[slot] = _Window(row, n_positions)

    def share(self, slot: int, others: Iterable[int]) -> None:
        self._windows |= dict.fromkeys(others, self._windows[slot])

    def window_id(self, slot: int) -> int:
        return self._windows[slot].row

    def free(self, slot: int) -> None:
        self._windows.pop(slot, None)

    def write(self, slot: int, layer: int, keys_and_values: Tensor) -> None:
        assert keys_and_values.dtype == self._layout.activations
        columns = keys_and_values.contiguous()
        address = self._memory[self._windows[slot].row, layer].data_ptr()
        self._quantize((columns.data_ptr(), address, len(columns), self._shape.n_heads))

    def keys(self, slot: int, layer: int) -> Tensor:
        window, n_heads, layout = self._windows[slot], self._shape.n_heads, self._layout
        n_bytes = n_heads * layout.padded_to_panels(window.n_positions) * HEAD_DIM
        memory = self._memory[window.row, layer]
        n_words, n_elements = HEAD_DIM // layout.elements_per_word, layout.elements_per_word
        stored = memory[:n_bytes] if layout.zero_point else memory[:n_bytes].view(torch.int8)
        panels = stored.view(n_heads, -1, n_words, layout.tile_columns, n_elements)
        quantized = panels.transpose(2, 3).reshape(n_heads, -1, HEAD_DIM)[:, : window.n_positions]
        scale_bytes = n_heads * HEAD_DIM * torch.float32.itemsize
        scales = memory[2 * n_bytes : 2 * n_bytes + scale_bytes].view(torch.float32)
        return (quantized.float() - layout.zero_point) * scales.view(n_heads, 1, HEAD_DIM)

    def attention_for(self, slots: Sequence[int], *, n_tokens: int) -> CrossAttentionStep:
        rows: dict[_Window, list[int]] = defaultdict(list)
        for index, slot in enumerate(slots):
            rows[self._windows[slot]] += range(index * n_tokens, (index + 1) * n_tokens)
        order = torch.tensor([row for window_rows in rows.values() for row in window_rows])
        table, first = [], 0
        for window, window_rows in rows.items():
            address = self._memory[window.row].data_ptr()
            table.append((address, window.n_positions, first, first + len(window_rows)))
            first += len(window_rows)
        first_layer = torch.tensor(table)

        def attend(layer: int, queries: Tensor) -> Tensor:
            in_layer = first_layer.clone()
            in_layer[:, 0] += layer * self._memory.stride(1)
            queries = queries.contiguous()
            attended = torch.empty_like(queries)
            addresses = [tensor.data_ptr() for tensor in (queries, attended, order, in_layer, self._scratch)]
            self._attend((*addresses, len(order), self._shape.n_heads, len(table), self._scratch_bytes))
            return attended

        return attend
