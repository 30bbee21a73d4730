from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import torch

from hf_asr_endpoint.whisper.kv_cache import GROWTH, CacheShape, CrossRow, KVCaches

N_HEADS = 2
SHAPE = CacheShape(n_slots=3, n_layers=2, n_heads=N_HEADS, head_dim=4, max_tokens=150, max_positions=30)


def make_caches(*, dtype: torch.dtype = torch.float32) -> KVCaches:
    return KVCaches(SHAPE, device=torch.device("cpu"), dtype=dtype)


@pytest.fixture
def _unwritten_is_nan() -> Iterator[None]:
    """Have torch fill memory that nobody has written with NaN, as it does on request."""
    torch.use_deterministic_algorithms(True)
    assert torch.empty(1).isnan()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("_unwritten_is_nan")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_caches_are_zeros_until_they_are_written(dtype: torch.dtype) -> None:
    """They were whatever memory held: NaN behind a mask made NaN of all that the mask let through."""
    caches = make_caches(dtype=dtype)
    caches.reach(GROWTH + 1)
    assert [tuple(cache.shape) for cache in caches.self_kv] == [(2, 3, N_HEADS, 2 * GROWTH, 4)] * 2
    for layer in caches.cross_kv:
        for length, rows in layer.items():
            assert rows.keys.shape == (180 // length, N_HEADS, length, 4)
            assert rows.values.shape == (180 // length, N_HEADS, 4, length)
    every_length = [rows for layer in caches.cross_kv for rows in layer.values()]
    cross = [tensor for rows in every_length for tensor in (rows.keys, rows.values)]
    for cache in (*caches.self_kv, *cross):
        assert cache.dtype == dtype
        assert not cache.any()


def test_windows_have_few_lengths_up_to_all_positions() -> None:
    assert SHAPE.lengths == (10, 15, 20, 25, 30)
    assert [SHAPE.length_for(n) for n in (1, 10, 11, 29, 30)] == [10, 10, 15, 30, 30]


def test_slots_lie_together_by_length() -> None:
    caches = make_caches()
    assert caches.place(2, 8) == CrossRow(10, 0)
    assert caches.place(0, 10) == CrossRow(10, 1)
    assert caches.place(1, 12) == CrossRow(15, 2)
    caches.free(2)
    assert caches.place(2, 3) == CrossRow(10, 0)
    assert caches.cross_rows == {0: CrossRow(10, 1), 1: CrossRow(15, 2), 2: CrossRow(10, 0)}


def test_a_slot_that_gets_another_window_leaves_its_row() -> None:
    caches = make_caches()
    caches.place(0, 10)
    assert caches.place(0, 30) == CrossRow(30, 0)
    assert caches.place(1, 10) == CrossRow(10, 3)
    assert caches.place(0, 10) == CrossRow(10, 0)


def test_every_slot_finds_a_row_of_every_length() -> None:
    caches = make_caches()
    for length in (30, 10):
        rows = {caches.place(slot, length).row for slot in range(3)}
        assert rows == {0, 1, 2}


def row_of(caches: KVCaches, place: CrossRow) -> tuple[torch.Tensor, torch.Tensor]:
    cached = caches.cross_kv[1][place.length]
    return cached.keys[place.row], cached.values[place.row]


@pytest.mark.parametrize("seed", range(5))
def test_windows_of_different_lengths_never_share_memory(seed: int) -> None:
    chance = random.Random(seed)
    caches = make_caches()
    for _ in range(200):
        slot = chance.randrange(3)
        if chance.random() < 0.3:
            caches.free(slot)
            continue
        place = caches.place(slot, chance.randint(1, 30))
        mark = chance.random()
        for tensor in row_of(caches, place):
            tensor[:] = mark
        others = [other for taken, other in caches.cross_rows.items() if taken != slot]
        assert not any((tensor == mark).any() for other in others for tensor in row_of(caches, other))


def test_freeing_a_slot_that_is_free_does_nothing() -> None:
    caches = make_caches()
    caches.place(1, 10)
    caches.free(0)
    assert caches.cross_rows == {1: CrossRow(10, 0)}


def test_cross_attention_is_written_to_its_row_and_layer_alone() -> None:
    caches = make_caches()
    caches.place(0, 10)
    place = caches.place(2, 10)
    projected = torch.arange(10 * 2 * N_HEADS * 4, dtype=torch.float32).view(10, -1) + 1
    caches.write_cross(place, 0, projected)
    cached, other = caches.cross_kv[0][10], caches.cross_kv[1][10]
    for head in range(N_HEADS):
        torch.testing.assert_close(cached.keys[1, head], projected[:, head * 4 : head * 4 + 4])
        torch.testing.assert_close(cached.values[1, head], projected[:, (N_HEADS + head) * 4 :][:, :4].t())
    for tensor in (cached.keys[[0, 2]], cached.values[[0, 2]], other.keys, other.values):
        assert not tensor.any()


def test_nothing_of_a_rows_last_owner_is_left() -> None:
    """An infinity behind a mask made NaN of the next window."""
    caches = make_caches()
    caches.write_cross(caches.place(0, 15), 0, torch.full((15, 2 * N_HEADS * 4), torch.inf))
    caches.self_kv[0][:, 0] = torch.nan
    caches.place(1, 10)
    caches.free(0)
    place = caches.place(0, 12)
    caches.write_cross(place, 0, torch.ones(12, 2 * N_HEADS * 4))
    cached = caches.cross_kv[0][place.length]
    assert cached.keys[place.row].isfinite().all()
    assert cached.values[place.row].isfinite().all()
    assert not caches.self_kv[0][:, 0].any()


def test_a_row_is_seen_as_far_as_its_window_reaches() -> None:
    caches = make_caches()
    for n_positions in (12, 15, 11):  # Each in place of the one before.
        place = caches.place(1, n_positions)
        mask = caches.cross_masks[15].view(-1, N_HEADS, 15)[place.row]
        assert (mask == 0).sum(dim=1).tolist() == [n_positions] * N_HEADS
        assert (mask[:, n_positions:] == -torch.inf).all()


def test_self_attention_grows_with_the_longest_text_and_keeps_what_is_there() -> None:
    caches = make_caches()
    caches.place(1, 10)
    assert caches.reach(1) == GROWTH
    written = torch.randn(2, N_HEADS, GROWTH, 4)
    for cache in caches.self_kv:
        cache[:, 1] = written
    assert caches.reach(GROWTH) == GROWTH
    assert caches.reach(GROWTH + 1) == 2 * GROWTH
    assert caches.reach(5) == 2 * GROWTH
    assert caches.reach(2 * GROWTH + 1) == SHAPE.max_tokens
    for cache in caches.self_kv:
        torch.testing.assert_close(cache[:, 1, :, :GROWTH], written)
        assert not cache[:, 1, :, GROWTH:].any()
        assert not cache[:, [0, 2]].any()


def test_what_long_texts_took_is_given_back_when_nobody_decodes() -> None:
    """It was looked for only while somebody decoded, so it never was."""
    caches = make_caches()
    for slot in (0, 1):
        caches.place(slot, 10)
    caches.reach(GROWTH + 1)
    caches.free(0)
    assert caches.self_kv[0].shape[3] == 2 * GROWTH
    caches.free(1)
    assert [cache.shape[3] for cache in caches.self_kv] == [GROWTH] * 2
    assert caches.reach(1) == GROWTH


def test_slots_share_what_one_of_them_was_given() -> None:
    caches = make_caches()
    place = caches.place(0, 10)
    caches.share(0, [1, 2])
    assert caches.cross_rows == {0: place, 1: place, 2: place}
    caches.free(0)
    assert caches.cross_rows == {1: place, 2: place}
    assert caches.place(0, 10) == CrossRow(10, 1), "it is still in use"


def test_a_new_window_takes_the_shared_one_away() -> None:
    """Where the others went on with the old one, its place would never be free again."""
    caches = make_caches()
    caches.place(0, 30)
    caches.share(0, [1, 2])
    assert caches.place(0, 10) == CrossRow(10, 0)
    assert set(caches.cross_rows) == {0}


def test_texts_are_copied_from_slot_to_slot_and_may_change_places() -> None:
    caches = make_caches()
    before = [cache.normal_().clone() for cache in caches.self_kv]
    caches.copy_tokens({0: 2, 1: 0}, n_tokens=5)
    for cache, was in zip(caches.self_kv, before, strict=True):
        torch.testing.assert_close(cache[:, 0, :, :5], was[:, 2, :, :5])
        torch.testing.assert_close(cache[:, 1, :, :5], was[:, 0, :, :5])
        torch.testing.assert_close(cache[:, 2], was[:, 2])
        torch.testing.assert_close(cache[:, :2, :, 5:], was[:, :2, :, 5:])
