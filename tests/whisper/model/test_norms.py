"""A layer norm before a linear layer: compared with float64, at every level."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper.kernels.layout import NORM_EPSILON
from hf_asr_endpoint.whisper.kernels.processor import Level
from hf_asr_endpoint.whisper.model.layer_norm import LayerNorm
from hf_asr_endpoint.whisper.model.layers import LinearFactory, linear_factory
from tests.whisper.levels import every_level, kernels_of

pytestmark = pytest.mark.usefixtures("one_thread")

N_IN, N_OUT = 192, 80

n_rows_given = pytest.mark.parametrize("n_rows", [1, 7, 40])
bytes_given = pytest.mark.parametrize("activation_bytes", [1, 2])


@pytest.fixture
def weight() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(N_OUT, N_IN) / N_IN**0.5 * torch.linspace(0.01, 1.5, N_OUT)[:, None]


def in_int8(level: Level, activation_bytes: int, *, evens_inputs: bool = False) -> LinearFactory:
    return linear_factory(
        arithmetic="int8",
        n_rows=16,
        activation_bytes=activation_bytes,
        evens_inputs=evens_inputs,
        kernels=kernels_of(level),
    )


def rows(n: int) -> Tensor:
    torch.manual_seed(n)
    return torch.randn(n, N_IN) * torch.linspace(0.1, 30, n)[:, None] + 3


def product(x: Tensor, norm: LayerNorm, weight: Tensor) -> Tensor:
    normalized = F.layer_norm(x.double(), (N_IN,), norm.weight.double(), norm.bias.double(), NORM_EPSILON)
    return normalized @ weight.double().T


def decibels(found: Tensor, expected: Tensor) -> float:
    """Return signal to noise."""
    return 20 * math.log10(float(expected.norm() / (found.double() - expected).norm()))


def check(make: LinearFactory, weight: Tensor, x: Tensor, tolerance: float) -> None:
    """Check all that a layer with a norm computes, in the dtype of x."""
    torch.manual_seed(2)
    bias, residual = torch.randn(N_OUT).to(x.dtype), torch.randn(len(x), N_OUT).to(x.dtype)
    norm = LayerNorm((torch.randn(N_IN) + 1).to(x.dtype), torch.randn(N_IN).to(x.dtype))
    weight = weight.to(x.dtype)
    given = [tensor.clone() for tensor in (weight, bias, norm.weight, norm.bias)]
    layer = make(weight, bias, norm)
    expected = product(x, norm, weight) + bias.double()
    for found, right in (
        (layer(x), expected),
        (layer.gelu(x), F.gelu(expected)),
        (layer.add(x, residual), expected + residual.double()),
    ):
        assert found.dtype == x.dtype
        torch.testing.assert_close(found.double(), right, atol=tolerance, rtol=tolerance)
    for tensor, before in zip((weight, bias, norm.weight, norm.bias), given, strict=True):
        assert torch.equal(tensor, before)


@n_rows_given
def test_a_norm_comes_first_in_float32(weight: Tensor, n_rows: int) -> None:
    check(linear_factory(arithmetic="float", n_rows=16), weight, rows(n_rows), 1e-4)


@every_level
@bytes_given
@n_rows_given
def test_a_norm_comes_first_in_int8(weight: Tensor, level: Level, activation_bytes: int, n_rows: int) -> None:
    x = rows(n_rows).to(kernels_of(level).layout.activations)
    check(in_int8(level, activation_bytes), weight, x, 0.24 if activation_bytes == 1 else 0.15)


@every_level
@n_rows_given
def test_a_norm_that_evens_inputs_changes_no_product(weight: Tensor, level: Level, n_rows: int) -> None:
    x = rows(n_rows).to(kernels_of(level).layout.activations)
    check(in_int8(level, 2, evens_inputs=True), weight, x, 0.15)


@every_level
def test_small_weights_of_large_inputs_keep_their_precision_where_a_norm_evens_them(
    weight: Tensor, level: Level
) -> None:
    """A few inputs 50 times as large, whose weights are small, as training makes them."""
    x = rows(40).to(kernels_of(level).layout.activations)
    weight, gains = weight.clone(), torch.ones(N_IN)
    weight[:, :4] *= 0.01
    gains[:4] = 50
    norm = LayerNorm(gains, torch.zeros(N_IN))
    exact = product(x, norm, weight)
    even, uneven = (in_int8(level, 2, evens_inputs=evens)(weight, None, norm)(x) for evens in (True, False))
    assert decibels(even, exact) > 36
    assert decibels(uneven, exact) < 30


@every_level
def test_an_input_without_weights_does_no_harm(weight: Tensor, level: Level) -> None:
    x = rows(7).to(kernels_of(level).layout.activations)
    weight = weight.clone()
    weight[:, 5] = 0
    norm = LayerNorm(torch.ones(N_IN), torch.zeros(N_IN))
    found = in_int8(level, 2, evens_inputs=True)(weight, None, norm)(x)
    assert decibels(found, product(x, norm, weight)) > 36
