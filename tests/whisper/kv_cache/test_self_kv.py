"""Every self-attention cache is compared with attention computed in float64."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM
from hf_asr_endpoint.whisper.kernels.processor import LEVELS, Level
from hf_asr_endpoint.whisper.kv_cache.bfloat16_self_kv import Bfloat16SelfKVCache
from hf_asr_endpoint.whisper.kv_cache.self_kv import GROWTH_TOKENS, DenseSelfKVCache, SelfKVCache
from hf_asr_endpoint.whisper.kv_cache.shape import CacheShape
from tests.whisper.levels import HERE, every_level, for_each_level, kernels_of, needs_kernels

N_HEADS, N_LAYERS, N_SLOTS = 3, 2, 6
SHAPE = CacheShape(
    slots=N_SLOTS, n_layers=N_LAYERS, n_heads=N_HEADS, head_dim=HEAD_DIM, max_tokens=150, max_positions=30
)
CPU = torch.device("cpu")


@pytest.fixture(params=["dense float32", "dense bfloat16", *for_each_level()])
def kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


def make(kind: str) -> SelfKVCache:
    for level in LEVELS:
        if kind == level:
            return Bfloat16SelfKVCache(SHAPE, kernels_of(level))
    return DenseSelfKVCache(SHAPE, device=CPU, dtype=dtype_of(kind))


def dtype_of(kind: str) -> torch.dtype:
    for level in LEVELS:
        if kind == level:
            return kernels_of(level).layout.activations
    return torch.float32 if kind == "dense float32" else torch.bfloat16


class Checked:
    """A cache, and the keys and values that each slot should have.

    expected: by slot, shape = (n_layers, n_cached, 2, n_heads, head_dim).
    """

    def __init__(self, kind: str) -> None:
        self.kind, self.cache = kind, make(kind)
        self.dtype = dtype_of(kind)
        self.tolerance = {"dense float32": 1e-5, "dense bfloat16": 0.03}.get(kind, 0.004)
        self.expected: dict[int, Tensor] = {}

    def feed(self, slots: list[int], *, n_tokens: int = 1) -> None:
        """Feed random tokens to slots, and check each one's attention."""
        before = [self.expected.get(slot, torch.empty(N_LAYERS, 0, 2, N_HEADS, HEAD_DIM)) for slot in slots]
        n_cached = [of_slot.shape[1] for of_slot in before]
        attend = self.cache.attention_for(slots, n_cached=n_cached, n_tokens=n_tokens)
        heads = torch.randn(N_LAYERS, len(slots), n_tokens, 3, N_HEADS, HEAD_DIM).to(self.dtype)
        heads[:, :, :, 0] *= 0.3
        if self.kind in LEVELS:  # These cache bfloat16, whatever the dtype of tokens.
            heads[:, :, :, 1:] = heads[:, :, :, 1:].bfloat16()
        for row, slot in enumerate(slots):
            self.expected[slot] = torch.cat([before[row], heads[:, row, :, 1:]], dim=1)
        for layer in range(N_LAYERS):
            attended = attend(layer, heads[layer])
            assert attended.dtype == self.dtype
            for row, slot in enumerate(slots):
                for token in range(n_tokens):
                    visible = self.expected[slot][layer, : n_cached[row] + token + 1]
                    reference = attention(heads[layer, row, token, 0], visible)
                    error = (attended[row, token].double() - reference).norm() / reference.norm()
                    assert error < self.tolerance, (slot, layer, token)

    def copy(self, sources: dict[int, int]) -> None:
        self.cache.copy(sources, n_tokens=max(self.expected[source].shape[1] for source in sources.values()))
        self.expected |= {slot: self.expected[source] for slot, source in sources.items()}

    def free(self, slot: int) -> None:
        self.cache.free(slot)
        self.expected.pop(slot, None)


def attention(query: Tensor, keys_and_values: Tensor) -> Tensor:
    """query: shape = (n_heads, head_dim). keys_and_values: of one layer, shape = (n, 2, n_heads, head_dim)."""
    keys, values = keys_and_values.double().unbind(dim=1)
    weights = torch.einsum("hd,nhd->hn", query.double(), keys).softmax(dim=-1)
    return torch.einsum("hn,nhd->hd", weights, values)


def test_tokens_of_a_prompt_attend_to_themselves_and_those_before(kind: str) -> None:
    checked = Checked(kind)
    checked.feed([1, 2, 4], n_tokens=4)
    checked.feed([1, 2, 4], n_tokens=3)


def test_slots_attend_only_to_their_own_tokens(kind: str) -> None:
    checked = Checked(kind)
    checked.feed([0, 3], n_tokens=2)
    checked.feed([1, 2], n_tokens=5)
    for slots in ([0, 1, 2, 3], [1, 3], [2], [0, 1, 2, 3, 5]):
        checked.feed(slots)


def test_caches_grow_up_to_the_maximum_number_of_tokens(kind: str) -> None:
    checked = Checked(kind)
    checked.feed([2, 3], n_tokens=GROWTH_TOKENS - 1)
    for _ in range(3):
        checked.feed([2, 3])
    checked.feed([0])
    checked.feed([3], n_tokens=SHAPE.max_tokens - GROWTH_TOKENS - 2)
    checked.feed([0, 2])


def test_slots_can_be_copied_and_swapped(kind: str) -> None:
    checked = Checked(kind)
    checked.feed([0, 1, 2], n_tokens=3)
    checked.copy({0: 2, 1: 0})
    checked.feed([0, 1, 2])
    checked.copy({0: 1, 1: 0})
    checked.feed([0, 1, 2])
    checked.copy({3: 2, 4: 2, 5: 2})
    checked.feed([0, 1, 2, 3, 4, 5])


def test_a_sequence_is_not_affected_by_the_last_one_in_its_slot(kind: str) -> None:
    """A masked NaN made everything NaN that the mask did not hide."""
    checked = Checked(kind)
    attend = checked.cache.attention_for([1], n_cached=[0], n_tokens=9)
    for layer in range(N_LAYERS):
        attend(layer, torch.full((1, 9, 3, N_HEADS, HEAD_DIM), torch.nan, dtype=checked.dtype))
    checked.free(1)
    checked.feed([0, 1, 2], n_tokens=2)


@pytest.mark.parametrize("seed", range(4))
def test_slots_never_mix(kind: str, seed: int) -> None:
    chance = random.Random(seed)
    torch.manual_seed(seed)
    checked = Checked(kind)
    for _ in range(40):
        action = chance.choice(("feed", "feed", "copy", "free"))
        occupied = sorted(checked.expected)
        if action == "feed":
            checked.feed(
                sorted(chance.sample(range(N_SLOTS), chance.randint(1, N_SLOTS))),
                n_tokens=chance.choice((1, 1, 3)),
            )
        elif action == "copy" and occupied:
            targets = chance.sample(range(N_SLOTS), chance.randint(1, N_SLOTS))
            checked.copy({slot: chance.choice(occupied) for slot in targets})
        elif action == "free":
            checked.free(chance.randrange(N_SLOTS))


@pytest.mark.usefixtures("_unwritten_is_nan")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_dense_caches_are_zeros_until_they_are_written(dtype: torch.dtype) -> None:
    """They held what was in memory before: a masked NaN made everything NaN that the mask did not hide."""
    cache = DenseSelfKVCache(SHAPE, device=CPU, dtype=dtype)
    for n_cached in (0, GROWTH_TOKENS):
        attend = cache.attention_for([0, 2], n_cached=[n_cached, 0], n_tokens=1)
        assert attend(0, torch.ones(2, 1, 3, N_HEADS, HEAD_DIM, dtype=dtype)).isfinite().all()


@pytest.fixture
def _unwritten_is_nan() -> Iterator[None]:
    """Make torch fill new memory with NaN."""
    torch.use_deterministic_algorithms(True)
    assert torch.empty(1).isnan()
    yield
    torch.use_deterministic_algorithms(False)


def test_dense_caches_shrink_when_the_last_sequence_ends() -> None:
    cache = DenseSelfKVCache(SHAPE, device=CPU, dtype=torch.float32)
    cache.attention_for([1, 2], n_cached=[GROWTH_TOKENS, 0], n_tokens=1)
    cache.free(1)
    assert cache.capacity == 2 * GROWTH_TOKENS
    cache.free(2)
    assert cache.capacity == GROWTH_TOKENS


@every_level
def test_keys_and_values_are_rounded_to_the_nearest_bfloat16(level: Level) -> None:
    """A single token attends to itself alone, so the result is its value."""
    kernels = kernels_of(level)
    attend = Bfloat16SelfKVCache(SHAPE, kernels).attention_for([0], n_cached=[0], n_tokens=1)
    heads = torch.randn(1, 1, 3, N_HEADS, HEAD_DIM).to(kernels.layout.activations)
    heads[0, 0, 2, 0, :2] = torch.tensor([1 + 2**-8, 1 + 3 * 2**-8])  # halfway between two bfloat16
    attended = attend(0, heads)
    torch.testing.assert_close(attended, heads[:, :, 2].bfloat16().to(attended.dtype), atol=0, rtol=0)


@needs_kernels
def test_a_freed_slot_gives_its_memory_back() -> None:
    shape = CacheShape(slots=2, n_layers=8, n_heads=20, head_dim=HEAD_DIM, max_tokens=448, max_positions=30)
    kernels = kernels_of(HERE[0])
    cache = Bfloat16SelfKVCache(shape, kernels)
    attend = cache.attention_for([1], n_cached=[0], n_tokens=shape.max_tokens)
    heads = torch.ones(1, shape.max_tokens, 3, shape.n_heads, HEAD_DIM, dtype=kernels.layout.activations)
    before = resident_bytes()
    for layer in range(shape.n_layers):
        attend(layer, heads)
    n_bytes = 2 * heads[0, :, 0].numel() * torch.bfloat16.itemsize * shape.n_layers  # 18 MB
    in_use = resident_bytes()
    assert in_use > before + n_bytes // 2
    cache.free(1)
    assert resident_bytes() < in_use - n_bytes // 2


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
