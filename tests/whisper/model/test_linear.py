"""Every kind of linear layer is compared with float64, within the precision of its arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper.kernels.processor import Level
from hf_asr_endpoint.whisper.model.layers import linear_factory
from hf_asr_endpoint.whisper.model.linear import (
    Arithmetic,
    Int8Linear,
    Int8TileLinear,
    Linear,
    PackedLinear,
    PlainLinear,
)
from hf_asr_endpoint.whisper.threads import N_CORES
from tests.whisper.levels import HERE, every_level, for_each_level, kernels_of, needs_kernels

pytestmark = pytest.mark.usefixtures("one_thread")

N_IN, N_OUT = 192, 80

needs_bfloat16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this processor does not compute in bfloat16"
)
needs_int8 = pytest.mark.skipif(
    not torch.cpu._is_vnni_supported(), reason="this processor does not compute in int8"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """tolerance: the maximum error for products with a standard deviation of about 1."""

    make: Make
    dtype: torch.dtype
    tolerance: float


Make = Callable[[Tensor, Tensor | None], Linear]


def make_int8(dtype: torch.dtype) -> Make:
    return lambda weight, bias: Int8Linear(weight, bias, n_rows=16, out_dtype=dtype)


def make_int8_tile(level: Level, activation_bytes: int) -> Make:
    return lambda weight, bias: Int8TileLinear(
        weight, bias, activation_bytes=activation_bytes, kernels=kernels_of(level)
    )


def dtype_of(level: Level) -> torch.dtype:
    return kernels_of(level).layout.activations


def kind_of(level: Level, activation_bytes: int) -> tuple[Kind]:
    tolerance = 0.08 if activation_bytes == 1 else 0.05
    return (Kind(make=make_int8_tile(level, activation_bytes), dtype=dtype_of(level), tolerance=tolerance),)


@pytest.fixture(
    params=[
        pytest.param(Kind(make=PlainLinear, dtype=torch.float32, tolerance=1e-5), id="plain float32"),
        pytest.param(Kind(make=PlainLinear, dtype=torch.bfloat16, tolerance=0.05), id="plain bfloat16"),
        pytest.param(
            Kind(
                make=lambda weight, bias: PackedLinear(weight, bias, n_rows=16),
                dtype=torch.bfloat16,
                tolerance=0.05,
            ),
            id="packed bfloat16",
            marks=needs_bfloat16,
        ),
        pytest.param(
            Kind(make=make_int8(torch.float32), dtype=torch.float32, tolerance=0.06),
            id="int8 float32",
            marks=needs_int8,
        ),
        pytest.param(
            Kind(make=make_int8(torch.bfloat16), dtype=torch.bfloat16, tolerance=0.08),
            id="int8 bfloat16",
            marks=needs_int8,
        ),
        *for_each_level(lambda level: kind_of(level, 1), suffix=", 1 byte"),
        *for_each_level(lambda level: kind_of(level, 2), suffix=", 2 bytes"),
    ]
)
def kind(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return kind


@pytest.fixture
def weight() -> Tensor:
    """Rows of very different magnitude, as in trained weights; products with normal rows deviate by about 1."""
    torch.manual_seed(1)
    return torch.randn(N_OUT, N_IN) / N_IN**0.5 * torch.linspace(0.01, 1.5, N_OUT)[:, None]


@pytest.fixture
def bias() -> Tensor:
    torch.manual_seed(2)
    return torch.randn(N_OUT)


def rows(n: int) -> Tensor:
    torch.manual_seed(n)
    return torch.randn(n, N_IN)


def assert_near(result: Tensor, expected: Tensor, kind: Kind) -> None:
    assert result.dtype == kind.dtype
    torch.testing.assert_close(result.double(), expected, atol=kind.tolerance, rtol=kind.tolerance)


@pytest.mark.parametrize("has_bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("n_rows", [1, 2, 7, 16, 17, 40, 150])
def test_product_gelu_and_residual(kind: Kind, weight: Tensor, bias: Tensor, n_rows: int, has_bias: bool) -> None:
    linear = kind.make(weight.to(kind.dtype), bias.to(kind.dtype) if has_bias else None)
    x = rows(n_rows).to(kind.dtype)
    residual = torch.randn(n_rows, N_OUT).to(kind.dtype)
    expected = x.double() @ weight.to(kind.dtype).double().T
    if has_bias:
        expected = expected + bias.to(kind.dtype).double()
    assert_near(linear(x), expected, kind)
    assert_near(linear.gelu(x), F.gelu(expected), kind)
    before = residual.clone()
    assert_near(linear.add(x, residual), expected + before.double(), kind)


def test_arguments_are_not_changed(kind: Kind, weight: Tensor, bias: Tensor) -> None:
    given = [tensor.to(kind.dtype) for tensor in (weight, bias, rows(5), torch.randn(5, N_OUT))]
    copies = [tensor.clone() for tensor in given]
    linear = kind.make(given[0], given[1])
    linear(given[2])
    linear.gelu(given[2])
    linear.add(given[2], given[3])
    for tensor, copy in zip(given[:3], copies, strict=False):
        torch.testing.assert_close(tensor, copy, atol=0, rtol=0)


def test_rows_need_not_be_contiguous(kind: Kind, weight: Tensor, bias: Tensor) -> None:
    """The decoder passes slices of larger tensors."""
    linear = kind.make(weight.to(kind.dtype), bias.to(kind.dtype))
    x = torch.randn(6, 3, N_IN).to(kind.dtype)[:, 1]
    assert not x.is_contiguous()
    torch.testing.assert_close(linear(x), linear(x.contiguous()), atol=0, rtol=0)


INT8_KINDS = [
    pytest.param(make_int8(torch.float32), torch.float32, id="torch", marks=needs_int8),
    *for_each_level(lambda level: (make_int8_tile(level, 1), dtype_of(level)), suffix=", 1 byte"),
    *for_each_level(lambda level: (make_int8_tile(level, 2), dtype_of(level)), suffix=", 2 bytes"),
]


@pytest.mark.parametrize(("make", "dtype"), INT8_KINDS)
@pytest.mark.parametrize("n_neighbours", [1, 15, 39])
def test_int8_rows_do_not_depend_on_their_neighbours(
    weight: Tensor, bias: Tensor, n_neighbours: int, make: Make, dtype: torch.dtype
) -> None:
    """If rows shared a scale, one row of large numbers would cost the others their precision."""
    linear = make(weight.to(dtype), bias.to(dtype))
    x = rows(1).to(dtype)
    batch = torch.cat([x, 1_000 * rows(n_neighbours).to(dtype)])
    torch.testing.assert_close(linear(batch)[:1], linear(x), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("make", "dtype"), INT8_KINDS)
def test_int8_product_of_zeros_is_the_bias(weight: Tensor, bias: Tensor, make: Make, dtype: torch.dtype) -> None:
    weight[3] = 0
    bias = bias.to(dtype)
    linear = make(weight.to(dtype), bias)
    torch.testing.assert_close(linear(torch.zeros(2, N_IN, dtype=dtype)), bias.expand(2, -1))
    assert float(linear(rows(2).to(dtype))[0, 3]) == pytest.approx(float(bias[3]))


@every_level
@pytest.mark.parametrize("activation_bytes", [1, 2])
@pytest.mark.parametrize("n_out", [1, 15, 16, 17, 63, 64, 65, 128, 130])
@pytest.mark.parametrize("n_rows", [1, 2, 3, 5, 13, 61])
def test_kernel_computes_partial_tiles(n_out: int, n_rows: int, activation_bytes: int, level: Level) -> None:
    torch.manual_seed(0)
    dtype = dtype_of(level)
    weight, x = torch.randn(n_out, 64).to(dtype), torch.randn(n_rows, 64).to(dtype)
    residual = torch.randn(n_rows, n_out).to(dtype)
    expected = x.double() @ weight.double().T + residual.double()
    y = make_int8_tile(level, activation_bytes)(weight, None).add(x, residual)
    assert (y.double() - expected).norm() / expected.norm() < 0.02


@every_level
@pytest.mark.skipif(N_CORES < 2, reason="kernels have scratch memory for one thread on each core; there is one")
@pytest.mark.parametrize("activation_bytes", [1, 2])
@pytest.mark.parametrize("n_rows", [5, 47, 48, 250])
def test_threads_share_columns_when_rows_are_few_and_rows_otherwise(
    n_rows: int, activation_bytes: int, level: Level
) -> None:
    """With 250 rows each thread computes several blocks."""
    torch.manual_seed(0)
    weight, x = torch.randn(200, 2_048).to(dtype_of(level)), torch.randn(n_rows, 2_048).to(dtype_of(level))
    linear = make_int8_tile(level, activation_bytes)(weight, None)
    alone = linear(x)
    # In a thread that ends: OpenMP keeps a thread's team for as long as the thread lives, which slows down others.
    with ThreadPoolExecutor(1, initializer=lambda: torch.set_num_threads(2)) as team:
        together = team.submit(linear, x).result()
    torch.set_num_threads(1)  # New threads start with the number that was set last.
    torch.testing.assert_close(together, alone, atol=0, rtol=0)
    expected = x.double() @ weight.double().T
    assert (alone.double() - expected).norm() / expected.norm() < 0.02


@every_level
def test_factory_passes_on_the_activation_bytes(weight: Tensor, level: Level) -> None:
    """Pairs have two bytes in any case."""
    kernels = kernels_of(level)
    x, weight = rows(8).to(dtype_of(level)), weight.to(dtype_of(level))
    coarse, fine = (
        linear_factory(arithmetic="int8", n_rows=16, activation_bytes=n, kernels=kernels)(weight, None)(x)
        for n in (1, 2)
    )
    torch.testing.assert_close(coarse, make_int8_tile(level, 1)(weight, None)(x), atol=0, rtol=0)
    torch.testing.assert_close(fine, make_int8_tile(level, 2)(weight, None)(x), atol=0, rtol=0)
    assert torch.equal(coarse, fine) == (kernels.layout.multiplies == "pairs")


@every_level
def test_two_bytes_keep_the_precision_of_rows_with_an_outlier(level: Level) -> None:
    """Activations have outliers. With one byte, numbers that are small against them are rounded away."""
    torch.manual_seed(0)
    x = torch.randn(7, 2_048)
    x[:, 5] = 60.0
    weight = torch.randn(64, 2_048).mul_(20).round_().clamp_(-127, 127)  # exact in 8 bits
    weight[:, 0], weight[:, 5] = 127, 0
    x, weight = x.to(dtype_of(level)), weight.to(dtype_of(level))
    expected = x.double() @ weight.double().T

    def relative_error(activation_bytes: int) -> float:
        y = make_int8_tile(level, activation_bytes)(weight, None)(x)
        return float((y.double() - expected).norm() / expected.norm())

    assert kernels_of(level).layout.multiplies == "pairs" or relative_error(1) > 0.05
    assert relative_error(2) < 0.003


@pytest.mark.parametrize(
    ("dtype", "arithmetic", "expected"),
    [
        pytest.param(torch.float32, "float", PlainLinear, id="float32"),
        pytest.param(torch.float16, "float", PlainLinear, id="float16"),
        pytest.param(torch.bfloat16, "float", PackedLinear, id="bfloat16", marks=needs_bfloat16),
        pytest.param(torch.float32, "int8", Int8Linear, id="int8 of float32", marks=needs_int8),
        pytest.param(torch.bfloat16, "int8", Int8Linear, id="int8 of bfloat16", marks=needs_int8),
    ],
)
def test_factory_without_kernels(
    dtype: torch.dtype, arithmetic: Arithmetic, expected: type, weight: Tensor
) -> None:
    linear = linear_factory(arithmetic=arithmetic, n_rows=16)(weight.to(dtype), None)
    assert isinstance(linear, expected)


@every_level
def test_factory_uses_the_kernel_for_int8(weight: Tensor, level: Level) -> None:
    make = linear_factory(arithmetic="int8", n_rows=16, kernels=kernels_of(level))
    assert isinstance(make(weight.to(dtype_of(level)), None), Int8TileLinear)


@needs_int8
@needs_kernels
def test_weights_that_do_not_fill_whole_words_need_torchs_operators() -> None:
    make = linear_factory(arithmetic="int8", n_rows=16, kernels=kernels_of(HERE[0]))
    assert isinstance(make(torch.randn(8, 6).to(dtype_of(HERE[0])), None), Int8Linear)
