"""Self-attention's cache in bfloat16 on the CPU, whose kernel reads only the tokens that each slot holds.

torch's batched products read all rows up to the longest sequence and mask what lies after each one's end, and
oneDNN keeps 0.7 MB of compiled code for every combination of rows and length.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.kernels import Kernels
from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM
from hf_asr_endpoint.whisper.kernels.program import Call
from hf_asr_endpoint.whisper.kv_cache.self_kv import SelfAttentionStep
from hf_asr_endpoint.whisper.kv_cache.shape import CacheShape
from hf_asr_endpoint.whisper.threads import N_CORES


@dataclass(frozen=True, slots=True)
class _SlotMemory:
    """One slot's memory. Pages take memory from the first write until they are given back.

    keys_and_values: shape = (n_layers, 2, n_heads, max_tokens, HEAD_DIM).
    """

    pages: mmap.mmap
    keys_and_values: Tensor

    @property
    def layer_bytes(self) -> int:
        return self.keys_and_values.stride(0) * torch.bfloat16.itemsize


class Bfloat16SelfKVCache:
    """See `SelfKVCache`. For heads of HEAD_DIM channels, and tokens in the kernels' dtype."""

    def __init__(self, shape: CacheShape, kernels: Kernels) -> None:
        self._shape, self._dtype = shape, kernels.layout.activations
        self._by_slot = [_allocate(shape) for _ in range(shape.slots)]
        self._attend = kernels.self_attention
        self._scratch = torch.empty(N_CORES, shape.max_tokens + 2 * HEAD_DIM)
        self._step_table = torch.zeros((shape.n_layers, shape.slots, 2), dtype=torch.int64)
        self._layer_offsets = torch.arange(shape.n_layers)[:, None] * self._by_slot[0].layer_bytes

    def attention_for(self, slots: Sequence[int], *, n_cached: Sequence[int], n_tokens: int) -> SelfAttentionStep:
        caches = [self._by_slot[slot].keys_and_values for slot in slots]
        table = [(cache.data_ptr(), n_before) for cache, n_before in zip(caches, n_cached, strict=True)]
        first_layer = torch.tensor(table)
        layer_bytes = self._by_slot[0].layer_bytes
        numbers = (len(slots), n_tokens, self._shape.n_heads, self._shape.max_tokens)

        def attend(layer: int, heads: Tensor) -> Tensor:
            in_layer = first_layer.clone()
            in_layer[:, 0] += layer * layer_bytes
            assert heads.dtype == self._dtype
            heads = heads.contiguous()
            attended = torch.empty_like(heads[:, :, 0], memory_format=torch.contiguous_format)
            addresses = [tensor.data_ptr() for tensor in (heads, attended, in_layer, self._scratch)]
            self._attend((*addresses, *numbers))
            return attended

        return attend

    def step_calls(self, heads: Tensor, attended: Tensor) -> list[Call]:
        """Return the kernel's call of each layer for one token of each slot of a step, whose number is `rows`.

        heads, attended: as of `SelfAttentionStep`, shape = (slots, ...), contiguous. Which slots: see `set_step`.
        """
        assert heads.dtype == attended.dtype == self._dtype
        numbers = (len(heads), 1, self._shape.n_heads, self._shape.max_tokens)
        return [
            Call(
                kernel=self._attend,
                data=(*[tensor.data_ptr() for tensor in (heads, attended, table, self._scratch)], *numbers),
                variables={4: "rows"},
            )
            for table in self._step_table
        ]

    def set_step(self, slots: Sequence[int], n_cached: Sequence[int]) -> None:
        """Say which slots `step_calls` are for. n_cached: the tokens that each slot's cache holds already."""
        addresses = [self._by_slot[slot].keys_and_values.data_ptr() for slot in slots]
        table = self._step_table[:, : len(slots)]
        torch.add(torch.tensor(addresses), self._layer_offsets, out=table[:, :, 0])
        table[:, :, 1] = torch.tensor(n_cached)

    def copy(self, sources: Mapping[int, int], *, n_tokens: int) -> None:
        """When a source slot is overwritten itself, one of its readers takes its memory instead of copying it."""
        before = list(self._by_slot)
        read = set(sources.values())
        unread = [before[slot] for slot in sources if slot not in read]
        for slot, source in sources.items():
            if source in sources and source in read:
                self._by_slot[slot] = before[source]
                read.remove(source)
            else:
                memory = self._by_slot[slot] = unread.pop()
                memory.keys_and_values[:, :, :, :n_tokens] = before[source].keys_and_values[:, :, :, :n_tokens]

    def free(self, slot: int) -> None:
        self._by_slot[slot].pages.madvise(mmap.MADV_DONTNEED)


def _allocate(shape: CacheShape) -> _SlotMemory:
    size = (shape.n_layers, 2, shape.n_heads, shape.max_tokens, HEAD_DIM)
    pages = mmap.mmap(-1, torch.Size(size).numel() * torch.bfloat16.itemsize, flags=mmap.MAP_PRIVATE)
    return _SlotMemory(pages, torch.frombuffer(pages, dtype=torch.bfloat16).view(size))
