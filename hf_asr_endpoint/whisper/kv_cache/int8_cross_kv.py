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
from hf_asr_endpoint.whisper.kernels.program import Call
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
        self._layer_offsets = torch.arange(shape.n_layers)[:, None] * self._memory.stride(1)
        self._step_order = torch.zeros(shape.slots, dtype=torch.int64)
        self._step_windows = torch.zeros((shape.n_layers, shape.slots, 4), dtype=torch.int64)

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
        rows, windows = self._rows_and_windows(slots, n_tokens=n_tokens)
        order, first_layer = torch.tensor(rows), torch.tensor(windows)

        def attend(layer: int, queries: Tensor) -> Tensor:
            in_layer = first_layer.clone()
            in_layer[:, 0] += layer * self._memory.stride(1)
            queries = queries.contiguous()
            attended = torch.empty_like(queries)
            self._attend(self._data(queries, attended, order, in_layer))
            return attended

        return attend

    def step_calls(self, queries: Tensor, attended: Tensor) -> list[Call]:
        """Return the kernel's call of each layer for one token of each slot of a step, whose number is `rows`.

        They see as many windows as the variable `windows` says. queries, attended: as of `CrossAttentionStep`,
        shape = (slots, ...), contiguous. Which slots: see `set_step`.
        """
        return [
            Call(
                kernel=self._attend,
                data=self._data(queries, attended, self._step_order, windows),
                variables={5: "rows", 7: "windows"},
            )
            for windows in self._step_windows
        ]

    def set_step(self, slots: Sequence[int]) -> int:
        """Say which slots `step_calls` are for. Returns how many windows they have."""
        rows, windows = self._rows_and_windows(slots, n_tokens=1)
        self._step_order[: len(rows)] = torch.tensor(rows)
        table, first_layer = self._step_windows[:, : len(windows)], torch.tensor(windows)
        table[:] = first_layer
        table[:, :, 0] += self._layer_offsets
        return len(windows)

    def _rows_and_windows(
        self, slots: Sequence[int], *, n_tokens: int
    ) -> tuple[list[int], list[tuple[int, int, int, int]]]:
        """Return the order of a batch's rows, and its windows in their first layer, as the kernel takes them."""
        rows: dict[_Window, list[int]] = defaultdict(list)
        for index, slot in enumerate(slots):
            rows[self._windows[slot]] += range(index * n_tokens, (index + 1) * n_tokens)
        windows, first = [], 0
        for window, window_rows in rows.items():
            address = self._memory[window.row].data_ptr()
            windows.append((address, window.n_positions, first, first + len(window_rows)))
            first += len(window_rows)
        return [row for window_rows in rows.values() for row in window_rows], windows

    def _data(self, queries: Tensor, attended: Tensor, order: Tensor, windows: Tensor) -> tuple[int, ...]:
        assert queries.dtype == attended.dtype == self._layout.activations
        addresses = [tensor.data_ptr() for tensor in (queries, attended, order, windows, self._scratch)]
        return (*addresses, len(order), self._shape.n_heads, len(windows), self._scratch_bytes)
