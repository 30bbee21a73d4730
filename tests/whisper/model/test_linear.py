"""Every kind of linear layer gives what float64 gives, as near as its arithmetic can."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper.kernels import prefer_tiles
from hf_asr_endpoint.whisper.model.layers import linear_factory
from hf_asr_endpoint.whisper.model.linear import Int8Linear, Int8TileLinear, Linear, PackedLinear, PlainLinear
from hf_asr_endpoint.whisper.process import N_CORES
from tests.whisper.conftest import needs_tiles

pytestmark = pytest.mark.usefixtures("one_thread")

N_IN, N_OUT = 96, 80

needs_bfloat16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this processor does not compute in bfloat16"
)
needs_int8 = pytest.mark.skipif(
    not torch.cpu._is_vnni_supported(), reason="this processor does not compute in int8"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """tolerance: the largest error, of products whose deviation is about 1."""

    make: Make
    dtype: torch.dtype
    tolerance: float


Make = Callable[[Tensor, Tensor | None], Linear]


def make_int8(dtype: torch.dtype) -> Make:
    return lambda weight, bias: Int8Linear(weight, bias, n_rows=16, out_dtype=dtype)


def make_tiles(activation_bytes: int) -> Make:
    return lambda weight, bias: Int8TileLinear(weight, bias, activation_bytes=activation_bytes)


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
        pytest.param(
            Kind(make=make_tiles(1), dtype=torch.bfloat16, tolerance=0.08),
            id="int8 tiles",
            marks=needs_tiles,
        ),
        pytest.param(
            Kind(make=make_tiles(2), dtype=torch.bfloat16, tolerance=0.05),
            id="int8 tiles, finely",
            marks=needs_tiles,
        ),
    ]
)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
def weight() -> Tensor:
    """Rows of very different size, as trained ones are; products with normal rows deviate by about 1."""
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
def test_product_activation_and_sum(kind: Kind, weight: Tensor, bias: Tensor, n_rows: int, has_bias: bool) -> None:
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


def test_what_is_given_is_left_as_it_was(kind: Kind, weight: Tensor, bias: Tensor) -> None:
    given = [tensor.to(kind.dtype) for tensor in (weight, bias, rows(5), torch.randn(5, N_OUT))]
    copies = [tensor.clone() for tensor in given]
    linear = kind.make(given[0], given[1])
    linear(given[2])
    linear.gelu(given[2])
    linear.add(given[2], given[3])
    for tensor, copy in zip(given[:3], copies, strict=False):
        torch.testing.assert_close(tensor, copy, atol=0, rtol=0)


def test_rows_that_are_views_give_the_same(kind: Kind, weight: Tensor, bias: Tensor) -> None:
    """The decoder hands on slices of larger tensors."""
    linear = kind.make(weight.to(kind.dtype), bias.to(kind.dtype))
    x = torch.randn(6, 3, N_IN).to(kind.dtype)[:, 1]
    assert not x.is_contiguous()
    torch.testing.assert_close(linear(x), linear(x.contiguous()), atol=0, rtol=0)


INT8_KINDS = [
    pytest.param(make_int8(torch.float32), torch.float32, id="torch", marks=needs_int8),
    pytest.param(make_tiles(1), torch.bfloat16, id="tiles", marks=needs_tiles),
    pytest.param(make_tiles(2), torch.bfloat16, id="tiles, finely", marks=needs_tiles),
]


@pytest.mark.parametrize(("make", "dtype"), INT8_KINDS)
@pytest.mark.parametrize("n_beside", [1, 15, 39])
def test_int8_rows_do_not_depend_on_their_neighbours(
    weight: Tensor, bias: Tensor, n_beside: int, make: Make, dtype: torch.dtype
) -> None:
    """One loud row would take the others' precision if they shared a scale."""
    linear = make(weight.to(dtype), bias.to(dtype))
    x = rows(1).to(dtype)
    beside = torch.cat([x, 1_000 * rows(n_beside).to(dtype)])
    torch.testing.assert_close(linear(beside)[:1], linear(x), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("make", "dtype"), INT8_KINDS)
def test_int8_of_zeros_is_the_bias(weight: Tensor, bias: Tensor, make: Make, dtype: torch.dtype) -> None:
    weight[3] = 0
    bias = bias.to(dtype)
    linear = make(weight.to(dtype), bias)
    torch.testing.assert_close(linear(torch.zeros(2, N_IN, dtype=dtype)), bias.expand(2, -1))
    assert float(linear(rows(2).to(dtype))[0, 3]) == pytest.approx(float(bias[3]))


@needs_tiles
@pytest.mark.parametrize("activation_bytes", [1, 2])
@pytest.mark.parametrize("n_out", [1, 63, 64, 65, 128, 130])
@pytest.mark.parametrize("n_rows", [5, 13, 61])
def test_tiles_of_all_sizes(n_out: int, n_rows: int, activation_bytes: int) -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(n_out, 20).bfloat16(), torch.randn(n_rows, 20).bfloat16()
    residual = torch.randn(n_rows, n_out).bfloat16()
    expected = x.double() @ weight.double().T + residual.double()
    found = Int8TileLinear(weight, None, activation_bytes=activation_bytes).add(x, residual)
    assert (found.double() - expected).norm() / expected.norm() < 0.02


@needs_tiles
@pytest.mark.skipif(N_CORES < 2, reason="kernels have memory to work in for one thread on each core; there is one")
@pytest.mark.parametrize("activation_bytes", [1, 2])
@pytest.mark.parametrize("n_rows", [5, 47, 48, 250])
def test_threads_share_the_columns_of_few_rows_and_many_rows(n_rows: int, activation_bytes: int) -> None:
    """So many rows that each thread takes them in several turns, too."""
    torch.manual_seed(0)
    weight, x = torch.randn(200, 2_048).bfloat16(), torch.randn(n_rows, 2_048).bfloat16()
    linear = Int8TileLinear(weight, None, activation_bytes=activation_bytes)
    alone = linear(x)
    # In a thread that ends: OpenMP counts the team of one that lives against all others.
    with ThreadPoolExecutor(1, initializer=lambda: torch.set_num_threads(2)) as team:
        together = team.submit(linear, x).result()
    torch.set_num_threads(1)  # New threads begin with what was set last.
    torch.testing.assert_close(together, alone, atol=0, rtol=0)
    expected = x.double() @ weight.double().T
    assert (alone.double() - expected).norm() / expected.norm() < 0.02


@needs_tiles
def test_a_factory_makes_them_as_fine_as_asked(weight: Tensor) -> None:
    x, weight = rows(8).bfloat16(), weight.bfloat16()
    coarse, fine = (
        linear_factory(arithmetic="int8", n_rows=16, activation_bytes=activation_bytes)(weight, None)(x)
        for activation_bytes in (1, 2)
    )
    torch.testing.assert_close(coarse, Int8TileLinear(weight, None, activation_bytes=1)(x), atol=0, rtol=0)
    torch.testing.assert_close(fine, Int8TileLinear(weight, None, activation_bytes=2)(x), atol=0, rtol=0)
    assert not torch.equal(coarse, fine)


@needs_tiles
def test_rows_in_two_bytes_lose_nothing_beside_an_outlier() -> None:
    """With one byte, what is small beside a row's largest number is lost; activations have such numbers."""
    torch.manual_seed(0)
    x = torch.randn(7, 2_048)
    x[:, 5] = 60.0
    weight = torch.randn(64, 2_048).mul_(20).round_().clamp_(-127, 127)  # What is rounded are the rows alone.
    weight[:, 0], weight[:, 5] = 127, 0
    x, weight = x.bfloat16(), weight.bfloat16()
    expected = x.double() @ weight.double().T

    def error(activation_bytes: int) -> float:
        found = Int8TileLinear(weight, None, activation_bytes=activation_bytes)(x)
        return float((found.double() - expected).norm() / expected.norm())

    assert error(1) > 0.05
    assert error(2) < 0.003


@pytest.mark.parametrize(
    ("dtype", "arithmetic", "expected"),
    [
        pytest.param(torch.float32, "float", PlainLinear, id="float32"),
        pytest.param(torch.float16, "float", PlainLinear, id="float16"),
        pytest.param(torch.bfloat16, "float", PackedLinear, id="bfloat16", marks=needs_bfloat16),
        pytest.param(torch.float32, "int8", Int8Linear, id="int8 beside float32", marks=needs_int8),
        pytest.param(
            torch.bfloat16, "int8", Int8TileLinear if prefer_tiles() else Int8Linear, id="int8", marks=needs_int8
        ),
    ],
)
def test_the_kind_suits_the_weights(dtype: torch.dtype, arithmetic: str, expected: type, weight: Tensor) -> None:
    make = linear_factory(arithmetic=arithmetic, n_rows=16)
    assert isinstance(make(weight.to(dtype), None), expected)


@needs_int8
def test_weights_that_do_not_fill_words_are_no_tiles() -> None:
    linear = linear_factory(arithmetic="int8", n_rows=16)(torch.randn(8, 6).bfloat16(), None)
    assert isinstance(linear, Int8Linear)
