"""Chooses the fastest caches."""

from __future__ import annotations

import torch

from hf_asr_endpoint.whisper.kernels import Kernels
from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM
from hf_asr_endpoint.whisper.kv_cache.bfloat16_self_kv import Bfloat16SelfKVCache
from hf_asr_endpoint.whisper.kv_cache.cross_kv import CrossKVCache, DenseCrossKVCache
from hf_asr_endpoint.whisper.kv_cache.int8_cross_kv import Int8CrossKVCache
from hf_asr_endpoint.whisper.kv_cache.self_kv import DenseSelfKVCache, SelfKVCache
from hf_asr_endpoint.whisper.kv_cache.shape import CacheShape


def make_kv_caches(
    shape: CacheShape, *, device: torch.device, dtype: torch.dtype, kernels: Kernels | None
) -> tuple[SelfKVCache, CrossKVCache]:
    """Return the fastest caches for a device and dtype. kernels: those for this device and dtype, or None."""
    if kernels is not None and shape.head_dim == HEAD_DIM:
        return Bfloat16SelfKVCache(shape, kernels), Int8CrossKVCache(shape, kernels)
    self_kv = DenseSelfKVCache(shape, device=device, dtype=dtype)
    return self_kv, DenseCrossKVCache(shape, device=device, dtype=dtype)
