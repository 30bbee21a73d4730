from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hf_asr_endpoint.whisper import kernels
from hf_asr_endpoint.whisper.model.attention import (
    EncoderAttention,
    KernelEncoderAttention,
    choose_encoder_attention,
    torch_encoder_attention,
)
from tests.whisper.conftest import KERNELS, needs_avx512

N_HEADS, HEAD_DIM = 3, 64
FLOAT32, BFLOAT16 = torch.float32, torch.bfloat16


def kernel_attention(heads: Tensor) -> Tensor:
    return KernelEncoderAttention(KERNELS.encoder_attention)(heads)


bfloat16_attention = pytest.mark.parametrize(
    "attention",
    [
        pytest.param(torch_encoder_attention, id="torch"),
        pytest.param(kernel_attention, id="kernel", marks=needs_avx512),
    ],
)


def make_heads(*, n_positions: int, largest: float, dtype: torch.dtype) -> Tensor:
    """Return queries, keys and values whose scores range from about -`largest` to `largest`."""
    generator = torch.Generator().manual_seed(n_positions)
    queries, keys, values = torch.randn(3, N_HEADS, n_positions, HEAD_DIM, generator=generator)
    scores = queries @ keys.transpose(1, 2)
    return torch.stack([queries * (largest / scores.abs().max()), keys, values]).permute(2, 0, 1, 3).to(dtype)


def relative_error(attention: EncoderAttention, heads: Tensor) -> float:
    """Return the error against float64, relative to the result."""
    queries, keys, values = heads.double().permute(1, 2, 0, 3)
    expected = (torch.softmax(queries @ keys.transpose(1, 2), dim=-1) @ values).transpose(0, 1)
    attended = attention(heads)
    assert attended.dtype == heads.dtype
    assert attended.shape == expected.shape
    return float((attended.double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("largest", [0.0, 1.0, 20.0, 80.0, 500.0, 1e12])
@pytest.mark.parametrize(
    ("attention", "dtype", "tolerance"),
    [
        pytest.param(torch_encoder_attention, FLOAT32, 1e-4, id="float32"),
        pytest.param(torch_encoder_attention, BFLOAT16, 0.01, id="bfloat16"),
        pytest.param(kernel_attention, BFLOAT16, 0.01, id="kernel", marks=needs_avx512),
    ],
)
def test_scores_of_any_size(
    attention: EncoderAttention, dtype: torch.dtype, tolerance: float, largest: float
) -> None:
    """exp overflows float32 from 88 on."""
    assert relative_error(attention, make_heads(n_positions=150, largest=largest, dtype=dtype)) < tolerance


@bfloat16_attention
@pytest.mark.parametrize("n_positions", [1, 2, 5, 6, 7, 63, 64, 65, 200])
def test_windows_of_any_length(attention: EncoderAttention, n_positions: int) -> None:
    """The kernel processes 6, 16 and 64 positions at a time."""
    assert relative_error(attention, make_heads(n_positions=n_positions, largest=3.0, dtype=BFLOAT16)) < 0.01


@bfloat16_attention
def test_earlier_contents_of_scratch_memory_do_not_matter(attention: EncoderAttention) -> None:
    """After the last position there is what was in memory before, at worst NaN."""
    heads = make_heads(n_positions=70, largest=3.0, dtype=BFLOAT16)
    for _ in range(20):
        torch.full((1 << 16,), torch.nan)  # freed at once, so that the next call is likely to get it
        assert relative_error(attention, heads) < 0.01


@bfloat16_attention
def test_scores_far_below_zero_do_not_divide_by_zero(attention: EncoderAttention) -> None:
    heads = torch.ones(150, 3, 1, HEAD_DIM, dtype=BFLOAT16)
    heads[:, 0], heads[:, 1] = -4.0, 4.0
    torch.testing.assert_close(attention(heads), heads[:, 2])


def test_torch_computes_attention_without_kernels_and_for_other_head_sizes() -> None:
    assert choose_encoder_attention(head_dim=HEAD_DIM, kernels=None) is torch_encoder_attention
    assert choose_encoder_attention(head_dim=32, kernels=KERNELS) is torch_encoder_attention


@needs_avx512
def test_the_kernel_computes_attention_where_tiles_are_the_fastest() -> None:
    chosen = choose_encoder_attention(head_dim=HEAD_DIM, kernels=KERNELS)
    assert isinstance(chosen, KernelEncoderAttention) == KERNELS.prefer_tiles


def test_kernels_are_found_for_bfloat16_on_the_cpu_alone() -> None:
    cpu = torch.device("cpu")
    found = kernels.find_kernels(device=cpu, dtype=BFLOAT16, cache_dir=None)
    assert (found is not None) == kernels.available()
    assert kernels.find_kernels(device=cpu, dtype=FLOAT32, cache_dir=None) is None
    assert kernels.find_kernels(device=torch.device("meta"), dtype=BFLOAT16, cache_dir=None) is None
