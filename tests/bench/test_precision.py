"""What each number of activation bytes keeps of activations with outliers, as large models have them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.precision import Noise, measure, precisions
from hf_asr_endpoint.whisper.kernels.processor import Level
from hf_asr_endpoint.whisper.model.linear import Int8TileLinear
from tests.whisper.levels import every_level, kernels_of

pytestmark = pytest.mark.usefixtures("one_thread")

DATA = Path(__file__).parents[1] / "data"


def activations(*, n_in: int, n_outliers: int) -> torch.Tensor:
    torch.manual_seed(0)
    x = torch.randn(32, n_in)
    x[:, :n_outliers] *= 50
    return x


@pytest.mark.parametrize("n_in", [512, 1_280, 5_120])
def test_one_byte_loses_what_lies_beside_outliers_and_two_keep_it(n_in: int) -> None:
    """The weights of outlying channels are small, as training makes them, so that the others carry the product."""
    weight = torch.randn(64, n_in)
    weight[:, :4] *= 0.01
    noise, even = Noise(), Noise()
    noise.add(activations(n_in=n_in, n_outliers=4), weight)
    even.add(activations(n_in=n_in, n_outliers=0), weight)
    with_outliers, without = noise.decibels(), even.decibels()
    assert without["1 byte"] > 35
    assert with_outliers["1 byte"] < without["1 byte"] - 15
    assert without["2 bytes"] == pytest.approx(without["weight alone"], abs=0.1)
    assert with_outliers["2 bytes"] == pytest.approx(with_outliers["weight alone"], abs=0.1)
    # Pairs have 15 bits for 512 inputs, but 11.7 for 5,120.
    assert without["pairs (avx2)"] == pytest.approx(without["weight alone"], abs=0.5)
    assert with_outliers["pairs (avx2)"] > with_outliers["1 byte"] + 10


@every_level
@pytest.mark.parametrize(("activation_bytes", "name"), [(1, "1 byte"), (2, "2 bytes")])
def test_the_measure_is_that_of_the_kernel(level: Level, activation_bytes: int, name: str) -> None:
    kernels = kernels_of(level)
    if kernels.layout.multiplies == "pairs":
        name = "pairs (avx2)"
    x = activations(n_in=512, n_outliers=4).to(kernels.layout.activations)
    weight = torch.randn(64, 512).mul_(20).round_().clamp_(-127, 127)  # exact in 8 bits
    weight[:, 0] = 127
    product = Int8TileLinear(weight, None, activation_bytes=activation_bytes, kernels=kernels)(x)
    expected = precisions(512)[name](x.float()) @ weight.double().T
    torch.testing.assert_close(product.double(), expected, rtol=1e-2, atol=0.05 * float(expected.std()))


def test_all_kinds_of_layers_are_measured_on_speech() -> None:
    noises = measure("embedded:whisper-tiny.en", [DATA / "jfk.mp3"])
    kinds = {
        "encoder": ["self q", "self k", "self v", "self out", "fc1", "fc2"],
        "decoder": ["self q", "self k", "self v", "self out", "cross q", "cross out", "fc1", "fc2"],
        "windows": ["cross k", "cross v"],
    }
    for stack, names in kinds.items():
        for kind in names:
            assert len(noises[stack, kind]) == 4
    assert len(noises["decoder", "output"]) == 1
    for by_layer in noises.values():
        for noise in by_layer:
            decibels = noise.decibels()
            assert 10 < decibels["1 byte"] <= decibels["weight alone"] + 1
            assert decibels["2 bytes"] == pytest.approx(decibels["weight alone"], abs=1)
