"""Self-attention in bfloat16 on the CPU, by a kernel that reads each slot's own tokens and no more.

torch's batched products read all rows up to the longest text and hide what is behind each one's end; oneDNN
keeps 0.7 MB of kernels for every number of rows and every length that they meet.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hf_asr_endpoint.whisper import kernels
from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM
from hf_asr_endpoint.whisper.kv_cache.self_kv import AttendSelf
from hf_asr_endpoint.whisper.kv_cache.shape import CacheShape
from hf_asr_endpoint.whisper.process import N_CORES


@dataclass(frozen=True, slots=True)
class _Text:
    """One text's memory, of which only the pages count that are written.

    keys_and_values: shape = (n_layers, 2, n_heads, max_tokens, HEAD_DIM).
    """

    pages: mmap.mmap
    keys_and_values: Tensor


class Bfloat16SelfKVCache:
    """See `SelfKVCache`. For HEAD_DIM."""

    def __init__(self, shape: CacheShape) -> None:
        self._shape = shape
        self._texts = [_reserve(shape) for _ in range(shape.n_slots)]  # by slot
        self._attend = kernels.self_attention_kernel()
        self._scratch = torch.empty(N_CORES, shape.max_tokens + 2 * HEAD_DIM)

    def attention_for(self, slots: Sequence[int], *, begins: Sequence[int], n_tokens: int) -> AttendSelf:
        caches = [self._texts[slot].keys_and_values for slot in slots]
        texts_at_0 = torch.tensor([(cache.data_ptr(), begin) for cache, begin in zip(caches, begins, strict=True)])
        n_bytes = caches[0].stride(0) * torch.bfloat16.itemsize  # of a layer
        numbers = (len(slots), n_tokens, self._shape.n_heads, self._shape.max_tokens)

        def attend(layer: int, heads: Tensor) -> Tensor:
            in_layer = texts_at_0.clone()
            in_layer[:, 0] += layer * n_bytes
            heads = heads.contiguous()
            attended = torch.empty_like(heads[:, :, 0], memory_format=torch.contiguous_format)
            addresses = [tensor.data_ptr() for tensor in (heads, attended, in_layer, self._scratch)]
            self._attend((*addresses, *numbers))
            return attended

        return attend

    def copy(self, sources: Mapping[int, int], *, n_tokens: int) -> None:
        """A text whose slot goes on with another one is handed to one of those who want it; only others copy."""
        before = list(self._texts)
        wanted = set(sources.values())
        unwanted = [before[slot] for slot in sources if slot not in wanted]
        for slot, source in sources.items():
            if source in sources and source in wanted:
                self._texts[slot] = before[source]
                wanted.remove(source)
            else:
                text = self._texts[slot] = unwanted.pop()
                text.keys_and_values[:, :, :, :n_tokens] = before[source].keys_and_values[:, :, :, :n_tokens]

    def free(self, slot: int) -> None:
        self._texts[slot].pages.madvise(mmap.MADV_DONTNEED)


def _reserve(shape: CacheShape) -> _Text:
    size = (shape.n_layers, 2, shape.n_heads, shape.max_tokens, HEAD_DIM)
    pages = mmap.mmap(-1, torch.Size(size).numel() * torch.bfloat16.itemsize, flags=mmap.MAP_PRIVATE)
    return _Text(pages, torch.frombuffer(pages, dtype=torch.bfloat16).view(size))
