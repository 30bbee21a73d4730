"""Products of integers are exact at every level: compared with int64, at the extremes and for odd sizes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from hf_asr_endpoint.whisper.kernels import Kernels, launch
from hf_asr_endpoint.whisper.kernels.layout import MAX_BYTE_PAIR, MAX_INT8, max_pair_element
from hf_asr_endpoint.whisper.kernels.processor import Level
from hf_asr_endpoint.whisper.model import attention as attention_module
from hf_asr_endpoint.whisper.model import linear as linear_module
from hf_asr_endpoint.whisper.model.attention import KernelEncoderAttention
from hf_asr_endpoint.whisper.model.linear import Int8TileLinear
from tests.whisper.levels import every_level, kernels_of, whole_words

pytestmark = pytest.mark.usefixtures("one_thread", "_unwritten_is_nan")

LARGEST_N_IN = 5_120  # of fc2 in whisper-large


@pytest.fixture
def _unwritten_is_nan() -> Iterator[None]:
    """Make torch fill new memory with NaN: results, and scratch memory of kernels."""
    torch.use_deterministic_algorithms(True)
    assert torch.empty(1).isnan()
    yield
    torch.use_deterministic_algorithms(False)


def largest_activation(kernels: Kernels, n_in: int) -> int:
    """Return the largest integer that activations around 0 are quantized to, of one byte or of pairs."""
    return max_pair_element(n_in) if kernels.layout.multiplies == "pairs" else MAX_INT8


def exact_product(x: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the product, rounded as kernels round: to float32, then to the dtype."""
    return (x.long() @ weight.long().T).float().to(dtype)


def integers(level: Level, n_rows: int, n_in: int) -> Tensor:
    """Return rows of activations whose scale is 1: pairs up to a magnitude, or bytes, each row from an end of its
    own to what lies 2 × MAX_INT8 above.
    """
    kernels = kernels_of(level)
    if kernels.layout.multiplies == "pairs":
        largest = max_pair_element(n_in)
        x = torch.randint(-largest, largest + 1, (n_rows, n_in))
        x[:, 1] = largest
        return x
    least = torch.randint(-2 * MAX_INT8, 1, (n_rows, 1))
    x = least + torch.randint(0, 2 * MAX_INT8 + 1, (n_rows, n_in))
    x[:, 1:3] = torch.cat([least, least + 2 * MAX_INT8], dim=1)
    return x


def check_exact(level: Level, x: Tensor, weight: Tensor, *, activation_bytes: int = 1) -> None:
    """x, weight: integers whose scales are powers of 2, or in float32 the number next to one: LLVM divides by the
    largest integer as a multiplication.
    """
    kernels = kernels_of(level)
    dtype = kernels.layout.activations
    linear = Int8TileLinear(weight.float(), None, activation_bytes=activation_bytes, kernels=kernels)
    rtol = 2**-22 if dtype == torch.float32 else 0.0
    torch.testing.assert_close(linear(x.to(dtype)), exact_product(x, weight, dtype), atol=0, rtol=rtol)


@every_level
def test_gelu_of_large_negative_numbers_is_not_subnormal(level: Level) -> None:
    """Each subnormal number costs some processors a hundred cycles and more."""
    kernels = kernels_of(level)
    n_in = whole_words(level, 64)
    bias = torch.linspace(-60, -10, 128)
    linear = Int8TileLinear(torch.zeros(128, n_in), bias, activation_bytes=1, kernels=kernels)
    result = linear.gelu(torch.zeros((1, n_in), dtype=kernels.layout.activations)).float()
    assert ((result == 0) | (result.abs() >= torch.finfo(torch.float32).tiny)).all()
    torch.testing.assert_close(result, torch.zeros(1, 128), atol=1e-20, rtol=0)


@every_level
@pytest.mark.parametrize("activation_bytes", [1, 2])
def test_a_row_has_the_same_result_among_any_number_of_rows(level: Level, activation_bytes: int) -> None:
    torch.manual_seed(0)
    kernels = kernels_of(level)
    weight, bias = torch.randn(700, 192), torch.randn(700)
    linear = Int8TileLinear(weight, bias, activation_bytes=activation_bytes, kernels=kernels)
    x, residual = (torch.randn(40, n).to(kernels.layout.activations) for n in (192, 700))
    expected = [linear(x), linear.gelu(x), linear.add(x, residual)]
    for n in (1, 2, 3, 5, 8, 9, 16, 17, 33):
        results = [linear(x[:n]), linear.gelu(x[:n]), linear.add(x[:n], residual[:n])]
        for result, whole in zip(results, expected, strict=True):
            torch.testing.assert_close(result, whole[:n], atol=0, rtol=0)


@every_level
@pytest.mark.parametrize("n_in", [4, 512, 2_048, LARGEST_N_IN])
@pytest.mark.parametrize("x_sign", [1, -1])
@pytest.mark.parametrize("weight_sign", [1, -1])
def test_sums_of_the_largest_products(level: Level, n_in: int, x_sign: int, weight_sign: int) -> None:
    """A row of one sign has bytes of 254, or a zero point of 254: 5,120 products with 127 exceed 27 bits."""
    n_in = whole_words(level, n_in)
    x = torch.full((7, n_in), x_sign * largest_activation(kernels_of(level), n_in))
    check_exact(level, x, torch.full((17, n_in), weight_sign * MAX_INT8))


@every_level
@pytest.mark.parametrize("n_in", [4, 20, 516, LARGEST_N_IN])
@pytest.mark.parametrize(("n_rows", "n_out"), [(1, 1), (2, 15), (4, 17), (6, 64), (13, 65), (61, 130)])
def test_random_integers_of_odd_sizes(level: Level, n_in: int, n_rows: int, n_out: int) -> None:
    torch.manual_seed(n_in + n_rows)
    n_in = whole_words(level, n_in)
    weight = torch.randint(-MAX_INT8, MAX_INT8 + 1, (n_out, n_in))
    weight[:, 2] = -MAX_INT8
    check_exact(level, integers(level, n_rows, n_in), weight)


@every_level
@pytest.mark.parametrize("n_in", [4, 516])
def test_two_bytes_of_an_activation(level: Level, n_in: int) -> None:
    """Sums of upper bytes fit float32 at these sizes."""
    kernels, n_in = kernels_of(level), whole_words(level, n_in)
    if kernels.layout.activations != torch.float32:
        # The largest is 32,639, and a smaller one is no whole number of steps. Float32 levels run the same code.
        pytest.skip("bfloat16 has 8 significant bits, and the largest integer of two bytes needs 15")
    torch.manual_seed(n_in)
    largest = max_pair_element(n_in) if kernels.layout.multiplies == "pairs" else MAX_BYTE_PAIR
    x = torch.randint(-largest, largest + 1, (13, n_in))
    weight = torch.randint(-MAX_INT8, MAX_INT8 + 1, (65, n_in))
    x[:, 1], weight[:, 2] = largest, -MAX_INT8
    check_exact(level, x, weight, activation_bytes=2)


@every_level
@pytest.mark.parametrize("weight_sign", [1, -1])
def test_rows_of_any_zero_point_beside_the_largest_weights(level: Level, weight_sign: int) -> None:
    """The largest zero point times the largest sum of weights exceeds 27 bits; what it leaves may be 0."""
    torch.manual_seed(0)
    n_in = whole_words(level, LARGEST_N_IN)
    weight = weight_sign * torch.randint(MAX_INT8 - 3, MAX_INT8 + 1, (70, n_in))
    weight[:, 0] = weight_sign * MAX_INT8
    x = integers(level, 40, n_in)
    x[0] = x[0, 1] * (-1) ** torch.arange(n_in)
    check_exact(level, x, weight)


@every_level
def test_a_row_of_one_sign_uses_all_of_a_byte_and_keeps_its_zeros(level: Level) -> None:
    """As activations after GELU are: most 0, some large, none far below 0."""
    kernels = kernels_of(level)
    n_in = whole_words(level, 256)
    x = torch.zeros(2, n_in)
    x[:, 0], x[:, 1] = torch.tensor([-0.17, 0.0]), 10.0
    x[:, 2] = 10 / 254
    linear = Int8TileLinear(torch.eye(n_in), None, activation_bytes=1, kernels=kernels)
    y = linear(x.to(kernels.layout.activations)).float()
    assert not y[:, 3:].any()
    torch.testing.assert_close(y, x, atol=10.17 / 254 / 2 * 1.01, rtol=2**-8)
    torch.testing.assert_close(y[1, :3], x[1, :3], atol=0, rtol=2**-8)


@every_level
@pytest.mark.parametrize("n_rows", [1, 3, 16, 700])
def test_any_number_of_threads_computes_the_same(
    level: Level, n_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to more threads than panels, rows and cores."""
    kernels, n_in, n_out = kernels_of(level), 64, 200
    torch.manual_seed(0)
    x = torch.randn(n_rows, n_in).to(kernels.layout.activations)
    linear = Int8TileLinear(torch.randn(n_out, n_in), torch.randn(n_out), activation_bytes=2, kernels=kernels)
    attend = KernelEncoderAttention(kernels)
    heads = torch.randn(n_rows, 3, 2, 64).to(kernels.layout.activations)
    expected = [linear(x), linear.gelu(x), linear.add(x, linear(x)), attend(heads)]
    for n_threads in (2, 3, 7, 40, 128):
        run_on_threads(n_threads, monkeypatch)
        for result, alone in zip(
            [linear(x), linear.gelu(x), linear.add(x, expected[0]), attend(heads)], expected, strict=True
        ):
            torch.testing.assert_close(result, alone, atol=0, rtol=0)


def run_on_threads(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let kernels use n threads, which have scratch memory each."""
    for module in (launch, linear_module, attention_module):
        monkeypatch.setattr(module, "N_CORES", n)
    monkeypatch.setattr(torch, "get_num_threads", lambda: n)
