"""Both kinds of texts are held against attention computed plainly in float64."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM
from hf_asr_endpoint.whisper.kv_cache.bfloat16_self_kv import Bfloat16SelfKVCache
from hf_asr_endpoint.whisper.kv_cache.self_kv import GROWTH, DenseSelfKVCache, SelfKVCache
from hf_asr_endpoint.whisper.kv_cache.shape import CacheShape
from tests.whisper.conftest import needs_kernels

N_HEADS, N_LAYERS, N_SLOTS = 3, 2, 6
SHAPE = CacheShape(
    n_slots=N_SLOTS, n_layers=N_LAYERS, n_heads=N_HEADS, head_dim=HEAD_DIM, max_tokens=150, max_positions=30
)
CPU = torch.device("cpu")


@pytest.fixture(params=["dense float32", "dense bfloat16", pytest.param("kernel", marks=needs_kernels)])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def make(kind: str, shape: CacheShape = SHAPE) -> SelfKVCache:
    if kind == "kernel":
        return Bfloat16SelfKVCache(shape)
    return DenseSelfKVCache(shape, device=CPU, dtype=dtype_of(kind))


def dtype_of(kind: str) -> torch.dtype:
    return torch.float32 if kind == "dense float32" else torch.bfloat16


class Checked:
    """A cache, and what each slot's keys and values should be, shape = (n_layers, n_fed, 2, n_heads, head_dim)."""

    def __init__(self, kind: str) -> None:
        self.texts = make(kind)
        self.dtype = dtype_of(kind)
        self.tolerance = {"dense float32": 1e-5, "dense bfloat16": 0.03, "kernel": 0.004}[kind]
        self.fed: dict[int, Tensor] = {}

    def feed(self, slots: list[int], *, n_tokens: int = 1) -> None:
        """Feed tokens of chance to slots, and check what each of them attends to."""
        before = [self.fed.get(slot, torch.empty(N_LAYERS, 0, 2, N_HEADS, HEAD_DIM)) for slot in slots]
        attend = self.texts.attention_for(slots, begins=[text.shape[1] for text in before], n_tokens=n_tokens)
        heads = torch.randn(N_LAYERS, len(slots), n_tokens, 3, N_HEADS, HEAD_DIM).to(self.dtype)
        heads[:, :, :, 0] *= 0.3
        for row, slot in enumerate(slots):
            self.fed[slot] = torch.cat([before[row], heads[:, row, :, 1:]], dim=1)
        for layer in range(N_LAYERS):
            attended = attend(layer, heads[layer])
            assert attended.dtype == self.dtype
            for row, slot in enumerate(slots):
                for token in range(n_tokens):
                    seen = self.fed[slot][layer, : before[row].shape[1] + token + 1]
                    wanted = expected(heads[layer, row, token, 0], seen)
                    error = (attended[row, token].double() - wanted).norm() / wanted.norm()
                    assert error < self.tolerance, (slot, layer, token)

    def copy(self, sources: dict[int, int]) -> None:
        self.texts.copy(sources, n_tokens=max(self.fed[source].shape[1] for source in sources.values()))
        self.fed |= {slot: self.fed[source] for slot, source in sources.items()}

    def free(self, slot: int) -> None:
        self.texts.free(slot)
        self.fed.pop(slot, None)


def expected(query: Tensor, text: Tensor) -> Tensor:
    """query: shape = (n_heads, head_dim). text: a layer's, shape = (n_seen, 2, n_heads, head_dim)."""
    keys, values = text.double().unbind(dim=1)
    weights = torch.einsum("hd,nhd->hn", query.double(), keys).softmax(dim=-1)
    return torch.einsum("hn,nhd->hd", weights, values)


def test_a_prompts_tokens_see_themselves_and_those_before(kind: str) -> None:
    checked = Checked(kind)
    checked.feed([1, 2, 4], n_tokens=4)
    checked.feed([1, 2, 4], n_tokens=3)


def test_slots_see_only_their_own_texts(kind: str) -> None:
    checked = Checked(kind)
    checked.feed([0, 3], n_tokens=2)
    checked.feed([1, 2], n_tokens=5)
    for slots in ([0, 1, 2, 3], [1, 3], [2], [0, 1, 2, 3, 5]):
        checked.feed(slots)


def test_texts_reach_to_the_last_token(kind: str) -> None:
    checked = Checked(kind)
    checked.feed([2, 3], n_tokens=GROWTH - 1)
    for _ in range(3):
        checked.feed([2, 3])
    checked.feed([0])
    checked.feed([3], n_tokens=SHAPE.max_tokens - GROWTH - 2)
    checked.feed([0, 2])


def test_texts_are_copied_and_may_change_places(kind: str) -> None:
    checked = Checked(kind)
    checked.feed([0, 1, 2], n_tokens=3)
    checked.copy({0: 2, 1: 0})
    checked.feed([0, 1, 2])
    checked.copy({0: 1, 1: 0})
    checked.feed([0, 1, 2])
    checked.copy({3: 2, 4: 2, 5: 2})
    checked.feed([0, 1, 2, 3, 4, 5])


def test_nothing_of_a_slots_last_owner_is_left(kind: str) -> None:
    """NaN behind a mask made NaN of all that the mask let through."""
    checked = Checked(kind)
    attend = checked.texts.attention_for([1], begins=[0], n_tokens=9)
    for layer in range(N_LAYERS):
        attend(layer, torch.full((1, 9, 3, N_HEADS, HEAD_DIM), torch.nan, dtype=checked.dtype))
    checked.free(1)
    checked.feed([0, 1, 2], n_tokens=2)


@pytest.mark.parametrize("seed", range(4))
def test_texts_never_mix(kind: str, seed: int) -> None:
    chance = random.Random(seed)
    torch.manual_seed(seed)
    checked = Checked(kind)
    for _ in range(40):
        action = chance.choice(("feed", "feed", "copy", "free"))
        held = sorted(checked.fed)
        if action == "feed":
            checked.feed(
                sorted(chance.sample(range(N_SLOTS), chance.randint(1, N_SLOTS))),
                n_tokens=chance.choice((1, 1, 3)),
            )
        elif action == "copy" and held:
            targets = chance.sample(range(N_SLOTS), chance.randint(1, N_SLOTS))
            checked.copy({slot: chance.choice(held) for slot in targets})
        elif action == "free":
            checked.free(chance.randrange(N_SLOTS))


@pytest.mark.usefixtures("_unwritten_is_nan")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_dense_texts_are_zeros_until_they_are_written(dtype: torch.dtype) -> None:
    """They were whatever memory held: NaN behind a mask made NaN of all that the mask let through."""
    texts = DenseSelfKVCache(SHAPE, device=CPU, dtype=dtype)
    for begin in (0, GROWTH):
        attend = texts.attention_for([0, 2], begins=[begin, 0], n_tokens=1)
        assert attend(0, torch.ones(2, 1, 3, N_HEADS, HEAD_DIM, dtype=dtype)).isfinite().all()


@pytest.fixture
def _unwritten_is_nan() -> Iterator[None]:
    """Have torch fill memory that nobody has written with NaN, as it does on request."""
    torch.use_deterministic_algorithms(True)
    assert torch.empty(1).isnan()
    yield
    torch.use_deterministic_algorithms(False)


def test_what_long_dense_texts_took_is_given_back() -> None:
    texts = DenseSelfKVCache(SHAPE, device=CPU, dtype=torch.float32)
    texts.attention_for([1, 2], begins=[GROWTH, 0], n_tokens=1)
    texts.free(1)
    assert texts.room == 2 * GROWTH  # Another one is still there.
    texts.free(2)
    assert texts.room == GROWTH


@needs_kernels
def test_a_freed_text_takes_no_memory() -> None:
    shape = CacheShape(n_slots=2, n_layers=4, n_heads=20, head_dim=HEAD_DIM, max_tokens=448, max_positions=30)
    texts = Bfloat16SelfKVCache(shape)
    attend = texts.attention_for([1], begins=[0], n_tokens=shape.max_tokens)
    heads = torch.ones(1, shape.max_tokens, 3, shape.n_heads, HEAD_DIM, dtype=torch.bfloat16)
    before = resident_bytes()
    for layer in range(shape.n_layers):
        attend(layer, heads)
    taken = 2 * heads[0, :, 0].nbytes * shape.n_layers  # 18 MB of keys and values
    assert resident_bytes() > before + taken // 2
    texts.free(1)
    assert resident_bytes() < before + taken // 2


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
