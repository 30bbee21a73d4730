"""The proposals on a GPU that is not there: fake tensors have its device, and nothing may make the host wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from bench.gpu.proposals.choice import RowStates, begin_states
from bench.gpu.proposals.ragged_encoder import (
    ATTENTIONS,
    RaggedEncoder,
    exact_hidden,
    tanh_hidden,
    window_bounds,
)
from bench.gpu.proposals.refusal import RefuseSynchronization, Synchronizes
from bench.gpu.proposals.scenes import Scene, random_scene, shape_rules, shape_weights
from bench.gpu.proposals.step import allocate_caches
from bench.gpu.proposals.weights import decoder_weights, encoder_weights
from bench.gpu.shapes import LARGE, SMALL, TINY, TURBO, Shape
from hf_asr_endpoint.whisper.checkpoint.tensor_files import StoredTensor
from hf_asr_endpoint.whisper.checkpoint.tensors import OUTPUT, Tensors, expected_shapes
from tests.bench.fake_gpu import ByOperators

GPU = "cuda:0"
HALVES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
SHAPES = pytest.mark.parametrize("shape", [TINY, TURBO, LARGE], ids=lambda shape: shape.name)


@pytest.fixture
def fake_gpu() -> Iterator[FakeTensorMode]:
    with FakeTensorMode() as mode, torch.no_grad(), ByOperators():
        yield mode


def empty_tensors(shape: Shape, dtype: torch.dtype) -> Tensors:
    stored = {
        name: StoredTensor(
            shape=size,
            is_floating=True,
            is_shared=False,
            read=partial(torch.empty, size, device=GPU, dtype=dtype),
        )
        for name, size in expected_shapes(shape.config).items()
        if name != OUTPUT
    }
    return Tensors(stored, device=torch.device(GPU), dtype=dtype)


@SHAPES
@HALVES
def test_a_decode_step_never_waits(fake_gpu: FakeTensorMode, shape: Shape, dtype: torch.dtype) -> None:
    weights = decoder_weights(empty_tensors(shape, dtype), shape.config)
    caches = allocate_caches(weights, n_slots=64, max_tokens=448, max_positions=1_500)
    state = begin_states(64, list(shape.prompt().tokens), device=GPU, max_tokens=100)
    rules = shape_rules(shape, device=GPU)
    step = Scene(weights=weights, caches=caches, state=state, rules=rules).step("torch")
    before = {field.name: getattr(state, field.name) for field in fields(RowStates)}
    with RefuseSynchronization():
        step()
    assert all(getattr(state, name) is tensor for name, tensor in before.items())


@pytest.mark.parametrize("shape", [TINY, TURBO], ids=lambda shape: shape.name)  # large-v3 has turbo's encoder.
@HALVES
@pytest.mark.parametrize(("attention", "hidden"), [("by window", exact_hidden), ("flash", tanh_hidden)])
def test_encoding_several_windows_never_waits(
    fake_gpu: FakeTensorMode, shape: Shape, dtype: torch.dtype, attention: str, hidden: Callable[..., Tensor]
) -> None:
    """cuDNN's attention has no form for fake tensors, and Triton's kernels have none."""
    lengths = (450, 750, 1_500, 1_500)
    mels = [torch.empty((shape.config.num_mel_bins, 2 * n), device=GPU, dtype=dtype) for n in lengths]
    weights = encoder_weights(empty_tensors(shape, dtype), shape.config)
    bounds = window_bounds(lengths, device=GPU)
    with RefuseSynchronization():
        features = RaggedEncoder(weights, attention=ATTENTIONS[attention], hidden=hidden)(mels, bounds)
    assert (features.shape, features.device, features.dtype) == (
        (sum(lengths), shape.config.d_model),
        torch.device(GPU),
        dtype,
    )


@pytest.mark.parametrize(
    "work",
    [
        lambda x: x[x > 0],
        lambda x: torch.ops.aten.nonzero(x > 0),
        lambda x: x.sum().item(),
        lambda x: x + torch.tensor([1.0] * 4, device=GPU),
        lambda x: x.cpu(),
        lambda x: x.__setitem__(x > 0, 1.0),
    ],
    ids=["mask", "nonzero", "item", "list", "to the host", "assignment by mask"],
)
def test_the_mode_refuses_what_makes_the_host_wait(
    fake_gpu: FakeTensorMode, work: Callable[[Tensor], object]
) -> None:
    with pytest.raises(Synchronizes), RefuseSynchronization():
        work(torch.empty(4, device=GPU))


@torch.inference_mode()
def test_a_recorded_step_reads_its_state_anew() -> None:
    """Records the step for one state and runs it for another: no Python number of the first may be part of it."""
    weights = shape_weights(SMALL, device="cpu")
    scene = random_scene(SMALL, weights, n_rows=3, device="cpu", lengths=(40, 7, 100))
    step, state = scene.step("torch"), scene.state

    def run(*tensors: Tensor) -> tuple[Tensor, ...]:
        state.copy_(RowStates(**dict(zip(names, tensors, strict=True))))
        step()
        return tuple(getattr(state, name).clone() for name in names)

    names = [field.name for field in fields(RowStates)]
    recorded = make_fx(run)(*(getattr(state.clone(), name) for name in names))
    step()
    state.lengths.copy_(torch.tensor([90, 100, 3]))
    state.positions.copy_(torch.tensor([5, 0, 30]))
    state.n_sampled.copy_(torch.tensor([3, 0, 28]))
    other = [getattr(state.clone(), name) for name in names]
    for found, expected in zip(recorded(*other), run(*other), strict=True):
        torch.testing.assert_close(found, expected, atol=0, rtol=0)
