from __future__ import annotations

import torch

from hf_asr_endpoint.whisper.kv_cache.cross_kv import DenseCrossKVCache
from hf_asr_endpoint.whisper.kv_cache.self_kv import DenseSelfKVCache
from hf_asr_endpoint.whisper.kv_cache.shape import CacheShape
from hf_asr_endpoint.whisper.model.decoder import BatchBuilder

SHAPE = CacheShape(n_slots=8, n_layers=1, n_heads=2, head_dim=4, max_tokens=150, max_positions=30)


def test_tokens_have_the_positions_behind_those_that_were_fed() -> None:
    device, dtype = torch.device("cpu"), torch.float32
    windows = DenseCrossKVCache(SHAPE, device=device, dtype=dtype)
    for slot in (1, 5):
        windows.place(slot, 10)
    batches = BatchBuilder(DenseSelfKVCache(SHAPE, device=device, dtype=dtype), windows, device=device)
    batch = batches.build(slots=[1, 5], tokens=[[40, 41, 42], [43, 44, 45]], begins=[7, 0])
    assert batch.tokens.tolist() == [[40, 41, 42], [43, 44, 45]]
    assert batch.positions.tolist() == [[7, 8, 9], [0, 1, 2]]
    assert batch.own(0, torch.randn(2, 3, 3, 2, 4)).shape == (2, 3, 2, 4)
    assert batch.cross(0, torch.randn(2, 3, 2, 4)).shape == (2, 3, 2, 4)
