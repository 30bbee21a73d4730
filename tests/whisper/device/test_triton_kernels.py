"""Triton's kernels against torch's operators, in Triton's interpreter. `pip install triton` to run these."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.gpu.parts.scenes import random_scene, shape_weights
from bench.gpu.shapes import SMALL
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, DecodingState
from hf_asr_endpoint.whisper.device.choice import DeviceRules, TokenIds, token_flags
from hf_asr_endpoint.whisper.device.operations import (
    HAS_TRITON,
    TorchOperations,
    TritonOperations,
    attend,
    check_operations,
)
from hf_asr_endpoint.whisper.device.row_states import RowStates, new_states, pack_rows, row_numbers

os.environ.setdefault("TRITON_INTERPRET", "1")  # Triton reads it when it is imported.

pytestmark = [
    pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed"),
    # The interpreter computes with numpy, which warns of the masked elements' infinities.
    pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning"),
]

N_HEADS, HEAD_DIM = 3, 64


@pytest.fixture
def kernels() -> TritonOperations:
    return TritonOperations()


def random(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def int32(*numbers: int) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int32)


@pytest.mark.parametrize("n_splits", [1, 4])
@pytest.mark.parametrize("n_queries", [1, 5])
def test_window_attention_reads_only_the_positions_of_its_slot(n_splits: int, n_queries: int) -> None:
    from hf_asr_endpoint.whisper.device.triton_kernels import attention as attention_kernels

    slots, lengths = (2, 0, 3), (200, 1, 77)
    queries = random(3, n_queries, N_HEADS, HEAD_DIM)
    keys, values = (random(4, N_HEADS, 200, HEAD_DIM, seed=seed) for seed in (1, 2))
    for slot, length in zip(slots, lengths, strict=True):
        keys[slot, :, length:], values[slot, :, length:] = torch.nan, torch.nan
    keys[1], values[1] = torch.nan, torch.nan
    found = attention_kernels.attend(queries, keys, values, int32(*slots), int32(*lengths), n_splits=n_splits)
    for row, (slot, length) in enumerate(zip(slots, lengths, strict=True)):
        expected = F.scaled_dot_product_attention(
            queries[row].transpose(0, 1), keys[slot, :, :length], values[slot, :, :length], scale=1.0
        ).transpose(0, 1)
        torch.testing.assert_close(found[row], expected)


def test_window_attention_to_an_empty_window_is_zero() -> None:
    from hf_asr_endpoint.whisper.device.triton_kernels import attention as attention_kernels

    queries, keys = random(1, 1, N_HEADS, HEAD_DIM), torch.full((1, N_HEADS, 16, HEAD_DIM), torch.nan)
    for n_splits in (1, 2):
        found = attention_kernels.attend(queries, keys, keys, int32(0), int32(0), n_splits=n_splits)
        assert not found.any()


def test_self_attention_caches_and_attends_up_to_the_position(kernels: TritonOperations) -> None:
    heads = random(3, 3, N_HEADS, HEAD_DIM)
    state = new_states(3, device=torch.device("cpu"))
    state.slot, state.position = int32(3, 1, 0), int32(0, 130, 64)
    keys, values = (random(4, N_HEADS, 140, HEAD_DIM, seed=seed) for seed in (1, 2))
    for slot, position in zip((3, 1, 0), (0, 130, 64), strict=True):
        keys[slot, :, position:], values[slot, :, position:] = torch.nan, torch.nan
    found = kernels.attend_self(heads, keys, values, state)
    for row, (slot, position) in enumerate(zip((3, 1, 0), (0, 130, 64), strict=True)):
        torch.testing.assert_close(keys[slot, :, position], heads[row, 1])
        own = (cache[slot, :, : position + 1][None] for cache in (keys, values))
        expected = attend(heads[row, 0][None], *own, torch.zeros(1, position + 1, dtype=torch.bool))
        torch.testing.assert_close(found[row], expected[0])


def test_adding_and_normalizing_clamps_to_half_precision(kernels: TritonOperations) -> None:
    x, y = random(5, 384), random(5, 384, seed=1)
    x[2, 7] = 1e6
    arguments = (x, y, random(384, seed=2), (random(384, seed=3), random(384, seed=4)))
    for found, expected in zip(kernels.add_norm(*arguments), TorchOperations().add_norm(*arguments), strict=True):
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-4)
    assert float(kernels.add_norm(*arguments)[0].max()) == 65_504


def test_embedding_tokens_and_positions(kernels: TritonOperations) -> None:
    state = new_states(3, device=torch.device("cpu"))
    state.token, state.position = int32(6, 0, 5), int32(1, 3, 0)
    weights = replace(
        shape_weights(SMALL, device="cpu"), embeddings=random(7, 384), positions=random(4, 384, seed=1)
    )
    arguments = (state, weights, (random(384, seed=2), random(384, seed=3)))
    for found, expected in zip(kernels.embed(*arguments), TorchOperations().embed(*arguments), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("options", [(), ("norm",), ("norm", "has_gelu"), ("residual",)], ids="+".join)
def test_linear_layer_of_few_rows(options: tuple[str, ...]) -> None:
    from hf_asr_endpoint.whisper.device.triton_kernels import rows as row_kernels

    x, weight, bias, residual = (
        random(3, 256),
        random(70, 256, seed=1) / 16,
        random(70, seed=2),
        random(3, 70, seed=3),
    )
    norm = random(256, seed=4), random(256, seed=5)
    given = {"norm": norm, "has_gelu": True, "residual": residual}
    found = row_kernels.linear_rows(x, weight, bias, **{name: given[name] for name in options})
    expected = F.linear(F.layer_norm(x, (256,), *norm) if "norm" in options else x, weight, bias)
    expected = F.gelu(expected) if "has_gelu" in options else expected
    expected = expected + residual if "residual" in options else expected
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_choices_are_those_of_torchs_operators(kernels: TritonOperations) -> None:
    """Twenty steps of rows in different states: with a prompt left, too short, stopped, within a text."""
    n_vocab, n_logits, eot = 8_990, 9_024, 7_999
    ids = TokenIds(timestamp_begin=8_100, initial_end=8_151, eot=eot, no_speech=8_098, n_vocab=n_vocab)
    rules = DeviceRules(flags=token_flags(n_vocab, [3, 8_000], [5, 6_000], n_rows=n_logits), ids=ids)
    prompt = DecoderPrompt(tokens=(11, 12, 13), sot_index=1)
    limits = AttemptRules(max_new_tokens=12, min_new_tokens=4)
    histories: list[list[int]] = [[], [], [8_110, 7, 8], [], [8_105, 9, 8_120]]
    numbers = [
        row_numbers(
            DecodingState(prompt=prompt, rules=limits, sampled=history),
            slot=slot,
            window=slot,
            length=1,
            timestamp_begin=ids.timestamp_begin,
            is_fed=bool(history),
            is_stopped=slot == 3,
        )
        for slot, history in enumerate(histories)
    ]
    states = [new_states(5, device=torch.device("cpu")) for _ in range(2)]
    for state in states:
        state.load_(pack_rows(numbers, dict.fromkeys((0, 1, 3), prompt.tokens)))
    for step in range(20):
        logits = random(5, n_logits, seed=step) * 3
        logits[:, 8_100:] += step % 5
        logits[0, eot] += 9.0 if step > 6 else 0.0
        for operations, state in zip((kernels, TorchOperations()), states, strict=True):
            operations.choose(logits, rules, state)
        assert_equal_states(*states)
    assert states[0].is_stopped.all()
    assert int(states[0].position[3]) == 0


@pytest.mark.parametrize("shape", [(70, 128, 40), (5, 64, 130)], ids=str)
def test_product_with_the_exact_gelu(shape: tuple[int, int, int]) -> None:
    from bench.gpu.parts import gelu_kernel

    n_rows, n_in, n_out = shape
    x, linear = random(n_rows, n_in), (random(n_out, n_in, seed=1) / 8, random(n_out, seed=2))
    found = gelu_kernel.linear_gelu(x, linear, block=(32, 32, 64))
    torch.testing.assert_close(found, F.gelu(F.linear(x, *linear)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("max_fused_rows", [0, 16])
@torch.inference_mode()
def test_a_whole_step_is_that_of_torchs_operators(kernels: TritonOperations, max_fused_rows: int) -> None:
    """Four steps of two rows with windows of unequal length: three of the prompt, the last chooses a token."""
    kernels.max_fused_rows = max_fused_rows
    shape = replace(SMALL, config=replace(SMALL.config, decoder_layers=1))
    weights = shape_weights(shape, device="cpu")
    check_operations(kernels, weights)
    scene = random_scene(shape, weights, n_rows=2, device="cpu", lengths=(40, 7))
    other = replace(scene, states=scene.states.clone(), caches=replace(scene.caches, own=scene.caches.own.clone()))
    step, expected_step = scene.step(kernels), other.step(TorchOperations())
    for _ in range(4):
        step()
        expected_step()
        assert_equal_states(scene.states, other.states)
    torch.testing.assert_close(scene.caches.own, other.caches.own, atol=1e-4, rtol=1e-4)


def assert_equal_states(found: RowStates, expected: RowStates) -> None:
    torch.testing.assert_close(found.numbers, expected.numbers)
    torch.testing.assert_close(found.results, expected.results, atol=1e-4, rtol=1e-4)
