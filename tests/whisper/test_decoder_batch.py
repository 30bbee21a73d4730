from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from hf_asr_endpoint.whisper.decoder_batch import BatchBuilder, DecoderBatch, Span
from hf_asr_endpoint.whisper.kv_cache import CacheShape, KVCaches

N_HEADS = 2
N_POSITIONS = [0, 5, 7, 7, 0, 9, 0, 4]


def build(*, slots: list[int], tokens: list[list[int]], begins: list[int]) -> DecoderBatch:
    builder = BatchBuilder(n_heads=N_HEADS, device=torch.device("cpu"), dtype=torch.float32)
    return builder.build(slots=slots, tokens=tokens, begins=begins, n_positions=N_POSITIONS)


def seen(span: Span, *, n_slots: int, n_tokens: int) -> list[list[int]]:
    """Return how many places each slot's tokens see, and check that they are the first ones, for every head."""
    if span.mask is None:
        return [[span.length] * n_tokens] * n_slots
    assert span.mask.shape[0] == n_slots * N_HEADS
    mask = span.mask.view(n_slots, N_HEADS, -1, span.length).expand(n_slots, N_HEADS, n_tokens, span.length)
    assert ((mask == 0) | (mask == -torch.inf)).all()
    counts: Tensor = (mask == 0).sum(dim=-1)
    for slot in range(n_slots):
        for token in range(n_tokens):
            assert (counts[slot, :, token] == counts[slot, 0, token]).all()
            assert (mask[slot, :, token, : counts[slot, 0, token]] == 0).all()
    return counts[:, 0].tolist()


def test_one_token_of_one_slot_sees_all_before_it() -> None:
    batch = build(slots=[2], tokens=[[40]], begins=[3])
    (run,) = batch.runs
    assert (run.rows, run.slots) == (slice(0, 1), slice(2, 3))
    assert (run.own, run.cross) == (Span(length=4, mask=None), Span(length=7, mask=None))
    assert (batch.tokens.tolist(), batch.positions.tolist(), batch.slots.tolist()) == ([[40]], [[3]], [[2]])


def test_neighbours_of_different_length_see_only_their_own() -> None:
    batch = build(slots=[1, 2, 3], tokens=[[40], [41], [42]], begins=[3, 0, 6])
    (run,) = batch.runs
    assert (run.rows, run.slots) == (slice(0, 3), slice(1, 4))
    assert seen(run.own, n_slots=3, n_tokens=1) == [[4], [1], [7]]
    assert seen(run.cross, n_slots=3, n_tokens=1) == [[5], [7], [7]]
    assert batch.positions.tolist() == [[3], [0], [6]]


def test_slots_apart_are_runs_of_their_own() -> None:
    batch = build(slots=[1, 2, 5, 7], tokens=[[40]] * 4, begins=[3, 3, 1, 2])
    assert [(run.rows, run.slots) for run in batch.runs] == [
        (slice(0, 2), slice(1, 3)),
        (slice(2, 3), slice(5, 6)),
        (slice(3, 4), slice(7, 8)),
    ]
    assert [run.own.length for run in batch.runs] == [4, 2, 3]
    assert [run.cross.length for run in batch.runs] == [7, 9, 4]
    assert seen(batch.runs[0].cross, n_slots=2, n_tokens=1) == [[5], [7]]
    assert [run.own.mask for run in batch.runs] == [None] * 3


@pytest.mark.parametrize("begin", [0, 2])
def test_a_prompts_tokens_see_themselves_and_those_before(begin: int) -> None:
    batch = build(slots=[2, 3], tokens=[[40, 41, 42], [43, 44, 45]], begins=[begin, begin])
    (run,) = batch.runs
    assert seen(run.own, n_slots=2, n_tokens=3) == [[begin + 1, begin + 2, begin + 3]] * 2
    assert run.cross == Span(length=7, mask=None)
    assert batch.positions.tolist() == [[begin, begin + 1, begin + 2]] * 2


def make_caches(*, dtype: torch.dtype = torch.float32) -> KVCaches:
    shape = CacheShape(n_slots=3, n_layers=2, n_heads=N_HEADS, head_dim=4, max_tokens=6, max_positions=10)
    return KVCaches(shape, device=torch.device("cpu"), dtype=dtype)


@pytest.fixture
def _unwritten_is_nan() -> Iterator[None]:
    """Have torch fill memory that nobody has written with NaN, as it does on request."""
    torch.use_deterministic_algorithms(True)
    assert torch.empty(1).isnan()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("_unwritten_is_nan")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_caches_begin_as_zeros(dtype: torch.dtype) -> None:
    """They were whatever memory held: NaN behind a mask made NaN of all that the mask let through."""
    caches = make_caches(dtype=dtype)
    assert [tuple(cache.shape) for cache in caches.self_kv] == [(2, 3, N_HEADS, 6, 4)] * 2
    assert [tuple(cache.shape) for cache in caches.cross_kv] == [(2, 3, N_HEADS, 10, 4)] * 2
    for cache in (*caches.self_kv, *caches.cross_kv):
        assert cache.dtype == dtype
        assert not cache.any()


def test_cross_attention_is_written_to_its_slot_and_layer_alone() -> None:
    caches = make_caches()
    projected = torch.arange(7 * 2 * N_HEADS * 4, dtype=torch.float32).view(7, -1) + 1
    caches.write_cross(1, 0, projected)
    assert caches.n_positions == [0, 7, 0]
    keys, values = caches.cross_kv[0]
    for head in range(N_HEADS):
        torch.testing.assert_close(keys[1, head, :7], projected[:, head * 4 : head * 4 + 4])
        torch.testing.assert_close(values[1, head, :7], projected[:, (N_HEADS + head) * 4 :][:, :4])
    assert not keys[1, :, 7:].any()
    assert not caches.cross_kv[0][:, [0, 2]].any()
    assert not caches.cross_kv[1].any()
