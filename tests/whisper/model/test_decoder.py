from __future__ import annotations

import torch

from hf_asr_endpoint.whisper.kv_cache.cross_kv import DenseCrossKVCache
from hf_asr_endpoint.whisper.kv_cache.self_kv import DenseSelfKVCache
from hf_asr_endpoint.whisper.kv_cache.shape import CacheShape
from hf_asr_endpoint.whisper.model.decoder import BatchBuilder

SHAPE = CacheShape(slots=8, n_layers=1, n_heads=2, head_dim=4, max_tokens=150, max_positions=30)


def test_positions_of_new_tokens_follow_those_of_cached_ones() -> None:
    device, dtype = torch.device("cpu"), torch.float32
    cross_kv = DenseCrossKVCache(SHAPE, device=device, dtype=dtype)
    for slot in (1, 5):
        cross_kv.allocate(slot, 10)
    batches = BatchBuilder(DenseSelfKVCache(SHAPE, device=device, dtype=dtype), cross_kv, device=device)
    batch = batches.build(slots=[1, 5], tokens=[[40, 41, 42], [43, 44, 45]], n_cached=[7, 0])
    assert batch.tokens.tolist() == [[40, 41, 42], [43, 44, 45]]
    assert batch.positions.tolist() == [[7, 8, 9], [0, 1, 2]]
    assert batch.self_attention(0, torch.randn(2, 3, 3, 2, 4)).shape == (2, 3, 2, 4)
    assert batch.cross_attention(0, torch.randn(2, 3, 2, 4)).shape == (2, 3, 2, 4)
