from __future__ import annotations

import pytest
import torch

from hf_asr_endpoint.whisper.decoder_batch import BatchBuilder, DecoderBatch, Run
from hf_asr_endpoint.whisper.dense_windows import DenseWindows
from hf_asr_endpoint.whisper.kv_cache import GROWTH, CacheShape, TokenCaches

N_HEADS = 2
SHAPE = CacheShape(n_slots=8, n_layers=1, n_heads=N_HEADS, head_dim=4, max_tokens=150, max_positions=30)


def build(*, slots: list[int], tokens: list[list[int]], begins: list[int]) -> DecoderBatch:
    device, dtype = torch.device("cpu"), torch.float32
    windows = DenseWindows(SHAPE, device=device, dtype=dtype)
    for slot in slots:
        windows.place(slot, 10)
    texts = TokenCaches(SHAPE, device=device, dtype=dtype)
    return BatchBuilder(texts, windows, device=device, dtype=dtype).build(
        slots=slots, tokens=tokens, begins=begins
    )


def seen(run: Run, *, n_tokens: int) -> list[list[int]]:
    """Return how many places each row's tokens see, and check that they are the first ones, for every head."""
    n_rows, room = run.rows.stop - run.rows.start, run.mask.shape[2]
    assert run.mask.shape == (n_rows * N_HEADS, n_tokens, room)
    assert ((run.mask == 0) | (run.mask == -torch.inf)).all()
    mask = run.mask.view(n_rows, N_HEADS, n_tokens, room)
    counts = (mask == 0).sum(dim=-1)  # (n_rows, n_heads, n_tokens)
    assert torch.equal(mask == 0, torch.arange(room) < counts[..., None])
    assert (counts == counts[:, :1]).all()
    result: list[list[int]] = counts[:, 0].tolist()
    return result


def test_one_token_of_one_slot_sees_all_before_it() -> None:
    batch = build(slots=[2], tokens=[[40]], begins=[3])
    (own,) = batch.own
    assert (own.rows, own.slots, own.mask.shape[2]) == (slice(0, 1), slice(2, 3), GROWTH)
    assert seen(own, n_tokens=1) == [[4]]
    assert (batch.tokens.tolist(), batch.positions.tolist(), batch.slots.tolist()) == ([[40]], [[3]], [[2]])


def test_neighbours_see_only_their_own_texts() -> None:
    batch = build(slots=[1, 2, 3], tokens=[[40], [41], [42]], begins=[3, 0, 6])
    (own,) = batch.own
    assert (own.rows, own.slots) == (slice(0, 3), slice(1, 4))
    assert seen(own, n_tokens=1) == [[4], [1], [7]]
    assert batch.positions.tolist() == [[3], [0], [6]]
    assert batch.tokens.tolist() == [[40], [41], [42]]


def test_slots_apart_are_runs_of_their_own() -> None:
    batch = build(slots=[1, 2, 5, 7], tokens=[[40]] * 4, begins=[3, 4, 1, 2])
    assert [(run.rows, run.slots) for run in batch.own] == [
        (slice(0, 2), slice(1, 3)),
        (slice(2, 3), slice(5, 6)),
        (slice(3, 4), slice(7, 8)),
    ]
    assert [seen(run, n_tokens=1) for run in batch.own] == [[[4], [5]], [[2]], [[3]]]


@pytest.mark.parametrize("begin", [0, 2, GROWTH - 2])
def test_a_prompts_tokens_see_themselves_and_those_before(begin: int) -> None:
    batch = build(slots=[2, 3], tokens=[[40, 41, 42], [43, 44, 45]], begins=[begin, begin])
    (own,) = batch.own
    assert own.mask.shape[2] == (GROWTH if begin + 3 <= GROWTH else 2 * GROWTH)
    assert seen(own, n_tokens=3) == [[begin + 1, begin + 2, begin + 3]] * 2
    assert batch.positions.tolist() == [[begin, begin + 1, begin + 2]] * 2
