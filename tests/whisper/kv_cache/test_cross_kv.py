"""Both kinds of windows are held against attention computed plainly in float64."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM
from hf_asr_endpoint.whisper.kv_cache.cross_kv import CrossKVCache, DenseCrossKVCache
from hf_asr_endpoint.whisper.kv_cache.int8_cross_kv import Int8CrossKVCache
from hf_asr_endpoint.whisper.kv_cache.shape import CacheShape
from tests.whisper.conftest import needs_tiles

N_HEADS, N_LAYERS, N_SLOTS, MAX_POSITIONS = 3, 2, 5, 90
N_CHANNELS = 2 * N_HEADS * HEAD_DIM
SHAPE = CacheShape(
    n_slots=N_SLOTS,
    n_layers=N_LAYERS,
    n_heads=N_HEADS,
    head_dim=HEAD_DIM,
    max_tokens=20,
    max_positions=MAX_POSITIONS,
)


@pytest.fixture(params=["dense float32", "dense bfloat16", pytest.param("int8", marks=needs_tiles)])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def windows(kind: str) -> CrossKVCache:
    if kind == "int8":
        return Int8CrossKVCache(SHAPE)
    return DenseCrossKVCache(SHAPE, device=torch.device("cpu"), dtype=dtype_of(kind))


def dtype_of(kind: str) -> torch.dtype:
    return torch.float32 if kind == "dense float32" else torch.bfloat16


def fill(
    windows: CrossKVCache, slot: int, n_positions: int, kind: str, *, layers: range = range(N_LAYERS)
) -> Tensor:
    """Give a slot a window of chance; return it, shape = (n_layers, 2, n_heads, head_dim, n_positions).

    Channels differ in size, as those of keys do.
    """
    sizes = torch.rand(N_LAYERS, N_CHANNELS, 1) + 0.1
    written = (torch.randn(N_LAYERS, N_CHANNELS, n_positions) * sizes).to(dtype_of(kind))
    windows.place(slot, n_positions)
    for layer in layers:
        windows.write(slot, layer, written[layer].t())
    return written.double().view(N_LAYERS, 2, N_HEADS, HEAD_DIM, n_positions)


def expected(queries: Tensor, window: Tensor) -> Tensor:
    """queries: shape = (n_tokens, n_heads, head_dim). window: a layer's."""
    scores = torch.einsum("thd,hdn->htn", queries.double(), window[0])
    return torch.einsum("htn,hdn->thd", scores.softmax(dim=-1), window[1])


def check(windows: CrossKVCache, kind: str, given: dict[int, Tensor], *, n_tokens: int = 1) -> None:
    """given: what each slot is to see."""
    tolerance = {"dense float32": 1e-5, "dense bfloat16": 0.03, "int8": 0.03}[kind]
    slots = sorted(given)
    attend = windows.attention_for(slots, n_tokens=n_tokens)
    for layer in range(N_LAYERS):
        queries = (torch.randn(len(slots), n_tokens, N_HEADS, HEAD_DIM) * 0.3).to(dtype_of(kind))
        attended = attend(layer, queries)
        assert attended.dtype == queries.dtype
        for row, slot in enumerate(slots):
            wanted = expected(queries[row], given[slot][layer])
            error = (attended[row].double() - wanted).norm() / wanted.norm()
            assert error < tolerance, (slot, layer)


@pytest.mark.parametrize("n_tokens", [1, 2, 3, 4, 19])
def test_each_slot_attends_to_its_own_window(windows: CrossKVCache, kind: str, n_tokens: int) -> None:
    given = {slot: fill(windows, slot, n, kind) for slot, n in {3: 90, 0: 31, 1: 60, 4: 7}.items()}
    check(windows, kind, given, n_tokens=n_tokens)


@pytest.mark.parametrize("n_tokens", [1, 3])
def test_slots_share_what_one_of_them_was_given(windows: CrossKVCache, kind: str, n_tokens: int) -> None:
    """Slots 1 and 4 share a window, and so do 2 and 3."""
    first, second, alone = (fill(windows, slot, n, kind) for slot, n in ((1, 45), (2, 60), (0, 60)))
    windows.share(1, [4])
    windows.share(2, [3])
    check(windows, kind, {0: alone, 1: first, 2: second, 3: second, 4: first}, n_tokens=n_tokens)
    assert windows.of(1) == windows.of(4) != windows.of(2)
    windows.free(1)
    given = fill(windows, 1, 45, kind)
    check(windows, kind, {1: given, 4: first}, n_tokens=n_tokens)


def test_a_new_window_takes_the_shared_one_away(windows: CrossKVCache, kind: str) -> None:
    """Where the others went on with the old one, its place would never be free again."""
    fill(windows, 0, 30, kind)
    windows.share(0, [1, 2])
    fill(windows, 0, 20, kind)
    assert set(windows.slots) == {0}


@pytest.mark.parametrize("seed", range(5))
def test_windows_never_overwrite_each_other(windows: CrossKVCache, kind: str, seed: int) -> None:
    chance = random.Random(seed)
    torch.manual_seed(seed)
    given: dict[int, Tensor] = {}
    for _ in range(30):
        slot = chance.randrange(N_SLOTS)
        if chance.random() < 0.3:
            windows.free(slot)
            given.pop(slot, None)
        else:
            given[slot] = fill(windows, slot, chance.randint(1, MAX_POSITIONS), kind)
        assert set(windows.slots) == set(given)
        if given:
            check(windows, kind, given)


def test_freeing_a_slot_that_is_free_does_nothing(windows: CrossKVCache, kind: str) -> None:
    given = fill(windows, 1, 10, kind)
    windows.free(0)
    check(windows, kind, {1: given})


def test_nothing_of_a_places_last_owner_is_left(windows: CrossKVCache, kind: str) -> None:
    """An infinity behind a mask made NaN of the next window."""
    windows.place(0, 60)
    for layer in range(N_LAYERS):
        windows.write(0, layer, torch.full((60, N_CHANNELS), torch.inf, dtype=dtype_of(kind)))
    windows.free(0)
    check(windows, kind, {0: fill(windows, 0, 50, kind)})


def test_keys_come_back(windows: CrossKVCache, kind: str) -> None:
    given = fill(windows, 2, 33, kind)
    keys = windows.keys(2, 1)
    assert keys.dtype == torch.float32
    most = given[1, 0].abs().amax(dim=-1, keepdim=True).transpose(1, 2)
    wanted = given[1, 0].transpose(1, 2)
    assert keys.shape == wanted.shape
    assert ((keys - wanted).abs() <= most * (0.5 / 127 + 1e-6)).all()


@needs_tiles
def test_large_scores_are_as_good_as_small_ones() -> None:
    """Powers of e of differences from the largest score neither overflow nor all vanish."""
    windows = Int8CrossKVCache(SHAPE)
    windows.place(0, 40)
    written = torch.zeros(2, N_HEADS, HEAD_DIM, 40)
    written[0, :, 0] = torch.arange(40) * 127 / 39  # keys: whole numbers of their scale at both ends
    written[1] = torch.arange(40.0)
    windows.write(0, 0, written.view(N_CHANNELS, 40).t().bfloat16())
    for size, place in ((1_000.0, 39.0), (-1_000.0, 0.0)):
        queries = torch.full((1, 1, N_HEADS, HEAD_DIM), size, dtype=torch.bfloat16)
        attended = windows.attention_for([0], n_tokens=1)(0, queries)
        torch.testing.assert_close(attended.float(), torch.full(attended.shape, place), rtol=0.01, atol=0.01)
