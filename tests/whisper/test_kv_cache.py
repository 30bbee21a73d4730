from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from hf_asr_endpoint.whisper.kv_cache import GROWTH, CacheShape, TokenCaches

N_HEADS = 2
SHAPE = CacheShape(n_slots=3, n_layers=2, n_heads=N_HEADS, head_dim=4, max_tokens=150, max_positions=30)


def make_caches(*, dtype: torch.dtype = torch.float32) -> TokenCaches:
    return TokenCaches(SHAPE, device=torch.device("cpu"), dtype=dtype)


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
    assert [tuple(cache.shape) for cache in caches.layers] == [(2, 3, N_HEADS, 2 * GROWTH, 4)] * 2
    for cache in caches.layers:
        assert cache.dtype == dtype
        assert not cache.any()


def test_nothing_of_a_slots_last_owner_is_left() -> None:
    caches = make_caches()
    caches.layers[0][:, 0] = torch.nan
    caches.layers[0][:, 1] = 1.0
    caches.free(0)
    assert not caches.layers[0][:, 0].any()
    assert caches.layers[0][:, 1].all()


def test_caches_grow_with_the_longest_text_and_keep_what_is_there() -> None:
    caches = make_caches()
    assert caches.reach(1) == GROWTH
    written = torch.randn(2, N_HEADS, GROWTH, 4)
    for cache in caches.layers:
        cache[:, 1] = written
    assert caches.reach(GROWTH) == GROWTH
    assert caches.reach(GROWTH + 1) == 2 * GROWTH
    assert caches.reach(5) == 2 * GROWTH
    assert caches.reach(2 * GROWTH + 1) == SHAPE.max_tokens
    for cache in caches.layers:
        torch.testing.assert_close(cache[:, 1, :, :GROWTH], written)
        assert not cache[:, 1, :, GROWTH:].any()
        assert not cache[:, [0, 2]].any()


def test_what_long_texts_took_is_given_back() -> None:
    caches = make_caches()
    caches.reach(GROWTH + 1)
    caches.shrink()
    assert [cache.shape[3] for cache in caches.layers] == [GROWTH] * 2
    assert caches.reach(1) == GROWTH


def test_texts_are_copied_from_slot_to_slot_and_may_change_places() -> None:
    caches = make_caches()
    before = [cache.normal_().clone() for cache in caches.layers]
    caches.copy({0: 2, 1: 0}, n_tokens=5)
    for cache, was in zip(caches.layers, before, strict=True):
        torch.testing.assert_close(cache[:, 0, :, :5], was[:, 2, :, :5])
        torch.testing.assert_close(cache[:, 1, :, :5], was[:, 0, :, :5])
        torch.testing.assert_close(cache[:, 2], was[:, 2])
        torch.testing.assert_close(cache[:, :2, :, 5:], was[:, :2, :, 5:])
