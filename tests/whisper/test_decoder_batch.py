from __future__ import annotations

import pytest
import torch

from hf_asr_endpoint.whisper.decoder_batch import BatchBuilder, DecoderBatch, Rows, Run
from hf_asr_endpoint.whisper.kv_cache import GROWTH, CacheShape, KVCaches

N_HEADS = 2
SHAPE = CacheShape(n_slots=8, n_layers=1, n_heads=N_HEADS, head_dim=4, max_tokens=150, max_positions=30)


@pytest.fixture
def caches() -> KVCaches:
    return KVCaches(SHAPE, device=torch.device("cpu"), dtype=torch.float32)


def build(caches: KVCaches, *, slots: dict[int, int], tokens: list[list[int]], begins: list[int]) -> DecoderBatch:
    """slots: the encoder positions of each, placed in this order; the batch takes them in ascending order."""
    for slot, n_positions in slots.items():
        caches.place(slot, n_positions)
    builder = BatchBuilder(caches, device=torch.device("cpu"), dtype=torch.float32)
    return builder.build(slots=sorted(slots), tokens=tokens, begins=begins)


def rows_of(rows: Rows) -> list[int]:
    return list(range(100)[rows]) if isinstance(rows, slice) else rows


def seen(run: Run, *, n_tokens: int) -> list[list[int]]:
    """Return how many places each row's tokens see, and check that they are the first ones, for every head."""
    n_rows = len(rows_of(run.rows))
    assert run.mask.shape == (n_rows * N_HEADS, n_tokens, run.length)
    assert ((run.mask == 0) | (run.mask == -torch.inf)).all()
    mask = run.mask.view(n_rows, N_HEADS, n_tokens, run.length)
    counts = (mask == 0).sum(dim=-1)  # (n_rows, n_heads, n_tokens)
    expected = torch.arange(run.length) < counts[..., None]
    assert torch.equal(mask == 0, expected)
    assert (counts == counts[:, :1]).all()
    result: list[list[int]] = counts[:, 0].tolist()
    return result


def test_one_token_of_one_slot_sees_all_before_it(caches: KVCaches) -> None:
    batch = build(caches, slots={2: 10}, tokens=[[40]], begins=[3])
    (own,) = batch.own
    assert (own.rows, own.cached, own.length) == (slice(0, 1), slice(2, 3), GROWTH)
    assert seen(own, n_tokens=1) == [[4]]
    (cross,) = batch.cross
    assert (cross.rows, cross.cached, cross.length) == (slice(0, 1), slice(0, 1), 10)
    assert seen(cross, n_tokens=1) == [[10]]
    assert (batch.tokens.tolist(), batch.positions.tolist(), batch.slots.tolist()) == ([[40]], [[3]], [[2]])


def test_neighbours_see_only_their_own_texts(caches: KVCaches) -> None:
    batch = build(caches, slots={1: 10, 2: 10, 3: 10}, tokens=[[40], [41], [42]], begins=[3, 0, 6])
    (own,) = batch.own
    assert (own.rows, own.cached) == (slice(0, 3), slice(1, 4))
    assert seen(own, n_tokens=1) == [[4], [1], [7]]
    assert batch.positions.tolist() == [[3], [0], [6]]
    assert batch.tokens.tolist() == [[40], [41], [42]]


def test_slots_apart_are_runs_of_their_own(caches: KVCaches) -> None:
    batch = build(caches, slots={1: 10, 2: 10, 5: 10, 7: 10}, tokens=[[40]] * 4, begins=[3, 4, 1, 2])
    assert [(run.rows, run.cached) for run in batch.own] == [
        (slice(0, 2), slice(1, 3)),
        (slice(2, 3), slice(5, 6)),
        (slice(3, 4), slice(7, 8)),
    ]
    assert [seen(run, n_tokens=1) for run in batch.own] == [[[4], [5]], [[2]], [[3]]]
    assert [(run.rows, run.cached, run.length) for run in batch.cross] == [(slice(0, 4), slice(0, 4), 10)]


@pytest.mark.parametrize("begin", [0, 2, GROWTH - 2])
def test_a_prompts_tokens_see_themselves_and_those_before(caches: KVCaches, begin: int) -> None:
    batch = build(caches, slots={2: 10, 3: 10}, tokens=[[40, 41, 42], [43, 44, 45]], begins=[begin, begin])
    (own,) = batch.own
    assert own.length == (GROWTH if begin + 3 <= GROWTH else 2 * GROWTH)
    assert seen(own, n_tokens=3) == [[begin + 1, begin + 2, begin + 3]] * 2
    assert batch.positions.tolist() == [[begin, begin + 1, begin + 2]] * 2


def test_windows_of_one_length_are_read_together_in_the_order_of_their_rows(caches: KVCaches) -> None:
    """Slots 6, 4, 0 and 1 were encoded in this order; 6 and 4 are long, 4 and 1 a little shorter."""
    batch = build(caches, slots={6: 30, 4: 28, 0: 10, 1: 7}, tokens=[[40]] * 4, begins=[0] * 4)
    assert [(rows_of(run.rows), run.cached, run.length) for run in batch.cross] == [
        ([0, 1], slice(6, 8), 10),
        ([3, 2], slice(0, 2), 30),
    ]
    assert [seen(run, n_tokens=1) for run in batch.cross] == [[[10], [7]], [[30], [28]]]


def test_a_row_between_that_is_not_in_the_batch_parts_a_run(caches: KVCaches) -> None:
    for slot in (0, 1, 2):
        caches.place(slot, 10)
    caches.place(5, 15)
    builder = BatchBuilder(caches, device=torch.device("cpu"), dtype=torch.float32)
    batch = builder.build(slots=[0, 2, 5], tokens=[[40]] * 3, begins=[0] * 3)
    assert [(rows_of(run.rows), run.cached, run.length) for run in batch.cross] == [
        ([0], slice(0, 1), 10),
        ([1], slice(2, 3), 10),
        ([2], slice(2, 3), 15),
    ]


def test_beams_are_rows_that_share_what_they_read(caches: KVCaches) -> None:
    """Slots 1 and 2 share a window, and so do 3 and 6; equally wide sequences are read together."""
    for slot, others in {1: [2], 3: [6], 0: [], 5: [], 7: []}.items():
        caches.place(slot, 10)
        caches.share(slot, others)
    builder = BatchBuilder(caches, device=torch.device("cpu"), dtype=torch.float32)
    batch = builder.build(slots=[0, 1, 2, 3, 5, 6, 7], tokens=[[40]] * 7, begins=[0] * 7)
    assert [(rows_of(run.rows), run.cached, run.length) for run in batch.cross] == [
        ([1, 2, 3, 5], slice(0, 2), 10),
        ([0, 4, 6], slice(2, 5), 10),
    ]
