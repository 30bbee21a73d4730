"""The model on a GPU that is not there: fake tensors have its device, and nothing may make the host wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from bench.gpu.parts.hidden_layers import tanh_hidden
from bench.gpu.parts.ragged_attention import ATTENTIONS
from bench.gpu.shapes import BASE, LARGE, TINY, TURBO, Shape, checkpoint_of
from hf_asr_endpoint.whisper.checkpoint.tensor_files import StoredTensor
from hf_asr_endpoint.whisper.checkpoint.tensors import OUTPUT, Tensors, expected_shapes
from hf_asr_endpoint.whisper.device.caches import SlotWindows, new_caches
from hf_asr_endpoint.whisper.device.choice import device_rules
from hf_asr_endpoint.whisper.device.operations import TorchOperations
from hf_asr_endpoint.whisper.device.ragged_encoder import (
    RaggedEncoder,
    WindowBounds,
    exact_hidden,
)
from hf_asr_endpoint.whisper.device.row_states import MAX_STEPPED_PROMPT, NUMBERS, new_states
from hf_asr_endpoint.whisper.device.step import DecodeStep, new_outputs
from hf_asr_endpoint.whisper.device.weights import decoder_weights, encoder_weights
from hf_asr_endpoint.whisper.log_mel import Cut, LogMel
from tests.whisper.device.fake_gpu import ByOperators
from tests.whisper.device.refusal import RefuseSynchronization, Synchronizes

GPU = "cuda:0"
HALVES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
SHAPES = pytest.mark.parametrize("shape", [TINY, BASE, TURBO, LARGE], ids=lambda shape: shape.name)


@pytest.fixture
def fake_gpu() -> Iterator[FakeTensorMode]:
    with FakeTensorMode() as mode, torch.no_grad(), ByOperators():
        yield mode


def upload(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, device=GPU, dtype=tensor.dtype)


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
    """Nor does sending rows to it, and stopping rows."""
    tensors, device = empty_tensors(shape, dtype), torch.device(GPU)
    n_layers = shape.config.decoder_layers
    few = replace(shape.config, decoder_layers=2)  # Fusing the weights of 32 layers takes as long as their step.
    weights = decoder_weights(tensors, few)
    weights = replace(weights, layers=(weights.layers * n_layers)[:n_layers])
    states = new_states(64, device=device)
    before = {name: getattr(states, name) for name in states.__slots__}
    step = DecodeStep(
        weights,
        new_caches(weights, n_slots=64, max_tokens=448, max_positions=1_500),
        states,
        new_outputs(weights, n_rows=64),
        rules=device_rules(checkpoint_of(shape, tensors), n_rows=len(weights.output), device=device),
        operations=TorchOperations(),
    )
    sent = torch.empty((len(NUMBERS) + MAX_STEPPED_PROMPT, 3), device=GPU, dtype=torch.int32)
    stops = torch.empty((2, 5), device=GPU, dtype=torch.int32)
    with RefuseSynchronization():
        states.load_(sent)
        states.stop_(stops)
        (step.first(8) if shape is LARGE else step)()
    assert all(getattr(states, name) is tensor for name, tensor in before.items())


@pytest.mark.parametrize("shape", [TINY, TURBO], ids=lambda shape: shape.name)  # large-v3 has turbo's encoder.
@pytest.mark.parametrize(
    ("dtype", "attention", "hidden"),
    [(torch.float16, "by window", exact_hidden), (torch.bfloat16, "flash", tanh_hidden)],
    ids=["float16", "bfloat16"],
)
def test_encoding_several_windows_never_waits(
    fake_gpu: FakeTensorMode, shape: Shape, dtype: torch.dtype, attention: str, hidden: Callable[..., Tensor]
) -> None:
    """cuDNN's attention has no form for fake tensors, and Triton's kernels have none."""
    lengths = (450, 750, 1_500, 1_500)
    mels = [torch.empty((shape.config.num_mel_bins, 2 * n), device=GPU, dtype=dtype) for n in lengths]
    weights = encoder_weights(empty_tensors(shape, dtype), shape.config)
    bounds = WindowBounds(lengths=lengths, ends=torch.empty(5, device=GPU, dtype=torch.int32))
    with RefuseSynchronization():
        features = RaggedEncoder(weights, attention=ATTENTIONS[attention], hidden=hidden)(mels, bounds)
        decoder = decoder_weights(empty_tensors(shape, dtype), shape.config)
        caches = new_caches(decoder, n_slots=8, max_tokens=448, max_positions=1_500)
        windows = SlotWindows(caches.windows, upload, copies=True)
        groups = [[0], [3, 5], [1], [2]]
        windows.assign(groups, lengths)
        windows.write(decoder, features, bounds, groups)
    assert (features.shape, features.device, features.dtype) == (
        (sum(lengths), shape.config.d_model),
        torch.device(GPU),
        dtype,
    )


def test_spectrograms_on_the_device_never_wait(fake_gpu: FakeTensorMode) -> None:
    log_mel = LogMel(128, upload)
    waveforms = torch.empty((3, 123_456), device=GPU)
    with RefuseSynchronization():
        mels = log_mel(waveforms)
        window = Cut(begin=100, end=500, n_frames=1_000)(mels[0])
    assert (window.shape, window.device, window.dtype) == ((128, 1_000), torch.device(GPU), torch.float32)


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
