"""Weights are quantized as a checkpoint stores them, and lie in panels as `int8_gemm` reads them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hf_asr_endpoint.whisper.kernels.processor import Level
from hf_asr_endpoint.whisper.model.linear import Int8TileLinear
from tests.whisper.levels import every_level, kernels_of, whole_words

pytestmark = pytest.mark.usefixtures("one_thread")

every_format = pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16, torch.bfloat16], ids=lambda dtype: str(dtype).removeprefix("torch.")
)


def pack(weight: Tensor, level: Level, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the quantized weight, shape = (n_out, n_in), and its columns' parameters, shape = (3, n_out)."""
    linear = Int8TileLinear(weight, bias, activation_bytes=1, kernels=kernels_of(level))
    n_out, n_in = weight.shape
    rows = linear._weight.transpose(1, 2).reshape(-1, n_in)
    parameters = linear._column_parameters.transpose(0, 1).reshape(3, -1)
    assert not rows[n_out:].any()
    assert not parameters[:, n_out:].any()
    return rows[:n_out], parameters[:, :n_out]


@every_level
@every_format
@pytest.mark.parametrize("n_out", [1, 15, 16, 63, 64, 65, 200])
@pytest.mark.parametrize("n_in", [4, 20, 1_280])
def test_each_weight_is_the_nearest_multiple_of_its_rows_scale(
    n_in: int, n_out: int, dtype: torch.dtype, level: Level
) -> None:
    torch.manual_seed(n_out)
    weight = (torch.randn(n_out, whole_words(level, n_in)) * torch.logspace(-3, 1, n_out)[:, None]).to(dtype)
    bias = torch.randn(n_out)
    quantized, (_, scales, biases) = pack(weight, level, bias)
    exact = weight.double()
    largest = exact.abs().amax(dim=1)
    torch.testing.assert_close(scales.double(), largest / 127)
    error = (quantized.double() * scales.double()[:, None] - exact).abs()
    assert bool((error <= scales.double()[:, None] * 0.5001).all())
    assert bool((quantized.abs().amax(dim=1) == 127).all())
    assert torch.equal(biases, bias)


@every_level
@every_format
def test_the_format_does_not_matter(dtype: torch.dtype, level: Level) -> None:
    """float16's smallest numbers are subnormal."""
    torch.manual_seed(0)
    weight = (torch.randn(70, 64) * torch.logspace(-8, 3, 64)).to(dtype)
    stored, converted = pack(weight, level), pack(weight.float(), level)
    assert torch.equal(stored[0], converted[0])
    assert torch.equal(stored[1].view(torch.int32), converted[1].view(torch.int32))


@every_level
def test_columns_of_a_larger_matrix_can_be_packed(level: Level) -> None:
    weight = torch.randn(40, 128)[:, ::2]
    assert torch.equal(pack(weight, level)[0], pack(weight.clone(), level)[0])


@every_level
def test_rows_of_zeros_have_a_scale(level: Level) -> None:
    quantized, (_, scales, _) = pack(torch.zeros(3, 64), level)
    assert not quantized.any()
    assert bool((scales > 0).all())
