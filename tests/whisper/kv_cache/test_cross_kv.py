"""Every cross-attention cache is compared with attention computed in float64."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM
from hf_asr_endpoint.whisper.kernels.processor import LEVELS, Level
from hf_asr_endpoint.whisper.kv_cache.cross_kv import CrossKVCache, DenseCrossKVCache
from hf_asr_endpoint.whisper.kv_cache.int8_cross_kv import Int8CrossKVCache
from hf_asr_endpoint.whisper.kv_cache.shape import CacheShape
from tests.whisper.levels import every_level, for_each_level, kernels_of

N_HEADS, N_LAYERS, N_SLOTS, MAX_POSITIONS = 3, 2, 5, 90
N_CHANNELS = 2 * N_HEADS * HEAD_DIM
SHAPE = CacheShape(
    slots=N_SLOTS,
    n_layers=N_LAYERS,
    n_heads=N_HEADS,
    head_dim=HEAD_DIM,
    max_tokens=20,
    max_positions=MAX_POSITIONS,
)


@pytest.fixture(params=["dense float32", "dense bfloat16", *for_each_level()])
def kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def cache(kind: str) -> CrossKVCache:
    for level in LEVELS:
        if kind == level:
            return Int8CrossKVCache(SHAPE, kernels_of(level))
    return DenseCrossKVCache(SHAPE, device=torch.device("cpu"), dtype=dtype_of(kind))


def dtype_of(kind: str) -> torch.dtype:
    for level in LEVELS:
        if kind == level:
            return kernels_of(level).layout.activations
    return torch.float32 if kind == "dense float32" else torch.bfloat16


def fill(cache: CrossKVCache, slot: int, n_positions: int, kind: str) -> Tensor:
    """Give a slot a random window; return it, shape = (n_layers, 2, n_heads, head_dim, n_positions).

    Channels differ in magnitude, as those of keys do.
    """
    magnitudes = torch.rand(N_LAYERS, N_CHANNELS, 1) + 0.1
    written = (torch.randn(N_LAYERS, N_CHANNELS, n_positions) * magnitudes).to(dtype_of(kind))
    cache.allocate(slot, n_positions)
    for layer in range(N_LAYERS):
        cache.write(slot, layer, written[layer].t())
    return written.double().view(N_LAYERS, 2, N_HEADS, HEAD_DIM, n_positions)


def expected(queries: Tensor, window: Tensor) -> Tensor:
    """queries: shape = (n_tokens, n_heads, head_dim). window: of one layer."""
    scores = torch.einsum("thd,hdn->htn", queries.double(), window[0])
    return torch.einsum("htn,hdn->thd", scores.softmax(dim=-1), window[1])


def check(cache: CrossKVCache, kind: str, windows: dict[int, Tensor], *, n_tokens: int = 1) -> None:
    """Check each slot's attention. windows: those that the slots should have."""
    tolerance = 1e-5 if kind == "dense float32" else 0.03
    slots = sorted(windows)
    attend = cache.attention_for(slots, n_tokens=n_tokens)
    for layer in range(N_LAYERS):
        queries = (torch.randn(len(slots), n_tokens, N_HEADS, HEAD_DIM) * 0.3).to(dtype_of(kind))
        attended = attend(layer, queries)
        assert attended.dtype == queries.dtype
        for row, slot in enumerate(slots):
            reference = expected(queries[row], windows[slot][layer])
            error = (attended[row].double() - reference).norm() / reference.norm()
            assert error < tolerance, (slot, layer)


@pytest.mark.parametrize("n_tokens", [1, 2, 3, 4, 19])
def test_each_slot_attends_to_its_own_window(cache: CrossKVCache, kind: str, n_tokens: int) -> None:
    windows = {slot: fill(cache, slot, n, kind) for slot, n in {3: 90, 0: 31, 1: 60, 4: 7}.items()}
    check(cache, kind, windows, n_tokens=n_tokens)


@pytest.mark.parametrize("n_tokens", [1, 3])
def test_slots_share_a_window_until_each_is_freed(cache: CrossKVCache, kind: str, n_tokens: int) -> None:
    """Slots 1 and 4 share a window, and so do 2 and 3."""
    first, second, alone = (fill(cache, slot, n, kind) for slot, n in ((1, 45), (2, 60), (0, 60)))
    cache.share(1, [4])
    cache.share(2, [3])
    check(cache, kind, {0: alone, 1: first, 2: second, 3: second, 4: first}, n_tokens=n_tokens)
    assert cache.window_id(1) == cache.window_id(4) != cache.window_id(2)
    cache.free(1)
    new = fill(cache, 1, 45, kind)
    check(cache, kind, {1: new, 4: first}, n_tokens=n_tokens)


def test_a_new_window_frees_the_one_that_its_slot_shared(cache: CrossKVCache, kind: str) -> None:
    """Otherwise the other slots would keep the old window's row forever."""
    fill(cache, 0, 30, kind)
    cache.share(0, [1, 2])
    fill(cache, 0, 20, kind)
    assert set(cache.occupied_slots) == {0}


@pytest.mark.parametrize("seed", range(5))
def test_windows_never_overwrite_each_other(cache: CrossKVCache, kind: str, seed: int) -> None:
    chance = random.Random(seed)
    torch.manual_seed(seed)
    windows: dict[int, Tensor] = {}
    for _ in range(30):
        slot = chance.randrange(N_SLOTS)
        if chance.random() < 0.3:
            cache.free(slot)
            windows.pop(slot, None)
        else:
            windows[slot] = fill(cache, slot, chance.randint(1, MAX_POSITIONS), kind)
        assert set(cache.occupied_slots) == set(windows)
        if windows:
            check(cache, kind, windows)


def test_freeing_a_free_slot_does_nothing(cache: CrossKVCache, kind: str) -> None:
    window = fill(cache, 1, 10, kind)
    cache.free(0)
    check(cache, kind, {1: window})


def test_a_window_is_not_affected_by_the_last_one_in_its_row(cache: CrossKVCache, kind: str) -> None:
    """A mask turned the last window's infinity into NaN."""
    cache.allocate(0, 60)
    for layer in range(N_LAYERS):
        cache.write(0, layer, torch.full((60, N_CHANNELS), torch.inf, dtype=dtype_of(kind)))
    cache.free(0)
    check(cache, kind, {0: fill(cache, 0, 50, kind)})


def test_keys_round_trip(cache: CrossKVCache, kind: str) -> None:
    """To within half a step of 8-bit integers."""
    written = fill(cache, 2, 33, kind)[1, 0].transpose(1, 2)
    keys = cache.keys(2, 1)
    assert keys.dtype == torch.float32
    assert keys.shape == written.shape
    magnitudes = written.abs().amax(dim=1, keepdim=True)
    assert ((keys - written).abs() <= magnitudes * (0.5 / 127 + 1e-6)).all()


@every_level
def test_int8_softmax_of_large_scores(level: Level) -> None:
    """The exponentials of differences from the largest score neither overflow nor all vanish."""
    cache, dtype = Int8CrossKVCache(SHAPE, kernels_of(level)), kernels_of(level).layout.activations
    cache.allocate(0, 40)
    written = torch.zeros(2, N_HEADS, HEAD_DIM, 40)
    written[0, :, 0] = torch.arange(40) * 127 / 39  # Keys are multiples of their scale at both ends.
    written[1] = torch.arange(40.0)
    cache.write(0, 0, written.view(N_CHANNELS, 40).t().to(dtype))
    for query, position in ((1_000.0, 39.0), (-1_000.0, 0.0)):
        queries = torch.full((1, 1, N_HEADS, HEAD_DIM), query, dtype=dtype)
        attended = cache.attention_for([0], n_tokens=1)(0, queries)
        torch.testing.assert_close(attended.float(), torch.full(attended.shape, position), rtol=0.01, atol=0.01)
