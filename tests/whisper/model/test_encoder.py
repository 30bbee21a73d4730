"""Windows that are encoded together, as on many cores, come out as they do alone."""

from __future__ import annotations

import pytest
import torch

from hf_asr_endpoint.whisper.checkpoint.tensor_files import in_memory
from hf_asr_endpoint.whisper.checkpoint.tensors import Tensors
from hf_asr_endpoint.whisper.kernels.processor import Level
from hf_asr_endpoint.whisper.model.encoder import Encoder
from hf_asr_endpoint.whisper.model.layers import linear_factory
from hf_asr_endpoint.whisper.threads import windows_at_once
from tests.whisper.levels import every_level, kernels_of

pytestmark = pytest.mark.usefixtures("one_thread")

D_MODEL, N_MELS, N_LAYERS, HEAD_DIM = 128, 8, 2, 64

LENGTHS = (46, 150, 46, 7, 100)
"""Of windows, in positions: none a multiple of a tile's rows."""


def make_encoder(level: Level) -> Encoder:
    """Return a small encoder with random weights, in integers."""
    kernels = kernels_of(level)
    shapes = {
        "conv1.weight": (D_MODEL, N_MELS, 3),
        "conv2.weight": (D_MODEL, D_MODEL, 3),
        "embed_positions.weight": (max(LENGTHS), D_MODEL),
        "layer_norm.weight": (D_MODEL,),
    }
    for layer in range(N_LAYERS):
        attention = {f"self_attn.{name}_proj.weight": (D_MODEL, D_MODEL) for name in ("q", "k", "v", "out")}
        norms = {f"{name}_layer_norm.weight": (D_MODEL,) for name in ("self_attn", "final")}
        feed_forward = {"fc1.weight": (4 * D_MODEL, D_MODEL), "fc2.weight": (D_MODEL, 4 * D_MODEL)}
        of_layer = attention | norms | feed_forward
        shapes |= {f"layers.{layer}.{name}": shape for name, shape in of_layer.items()}
    weights = {name: torch.randn(shape) / shape[-1] ** 0.5 for name, shape in shapes.items()}
    biases = {
        name.replace(".weight", ".bias"): torch.randn(len(weight))
        for name, weight in weights.items()
        if "positions" not in name
    }
    tensors = Tensors(in_memory(weights | biases), device=torch.device("cpu"), dtype=kernels.layout.activations)
    # Convolutions, too: where a level is emulated, torch may have no product in its dtype.
    make_linear = linear_factory(arithmetic="int8", n_rows=max(LENGTHS), dtype=tensors.dtype, kernels=kernels)
    return Encoder(tensors, make_linear, make_linear, n_layers=N_LAYERS, head_dim=HEAD_DIM, kernels=kernels)


@every_level
def test_windows_are_encoded_together_as_alone(level: Level) -> None:
    torch.manual_seed(0)
    encoder = make_encoder(level)
    mels = [torch.randn(N_MELS, 2 * length).to(kernels_of(level).layout.activations) for length in LENGTHS]
    together = encoder(mels)
    assert [tuple(features.shape) for features in together] == [(length, D_MODEL) for length in LENGTHS]
    for mel, features in zip(mels, together, strict=True):
        (alone,) = encoder([mel])
        assert alone.abs().mean() > 0.1
        torch.testing.assert_close(features, alone, atol=0, rtol=0)


@pytest.mark.parametrize(("n_cores", "expected"), [(1, 1), (2, 1), (16, 1), (17, 2), (32, 2), (33, 3), (128, 8)])
def test_one_window_is_encoded_for_each_16_cores(n_cores: int, expected: int) -> None:
    assert windows_at_once(n_cores) == expected
