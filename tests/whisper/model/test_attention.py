from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hf_asr_endpoint.whisper.kernels.processor import Level
from hf_asr_endpoint.whisper.model.attention import (
    EncoderAttention,
    KernelEncoderAttention,
    choose_encoder_attention,
    torch_encoder_attention,
)
from tests.whisper.levels import every_level, for_each_level, kernels_of

N_HEADS, HEAD_DIM = 3, 64
FLOAT32, BFLOAT16 = torch.float32, torch.bfloat16


def of_level(level: Level) -> tuple[EncoderAttention, torch.dtype, float]:
    """Return a level's attention, its dtype, and the error that it may have."""
    dtype = kernels_of(level).layout.activations

    def attend(heads: Tensor) -> Tensor:
        return KernelEncoderAttention(kernels_of(level))(heads)

    return attend, dtype, 0.01 if dtype == BFLOAT16 else 0.002


KERNEL_ATTENTIONS = for_each_level(of_level)
coarse_attention = pytest.mark.parametrize(
    ("attention", "dtype", "tolerance"),
    [pytest.param(torch_encoder_attention, BFLOAT16, 0.01, id="torch"), *KERNEL_ATTENTIONS],
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
        *KERNEL_ATTENTIONS,
    ],
)
def test_scores_of_any_size(
    attention: EncoderAttention, dtype: torch.dtype, tolerance: float, largest: float
) -> None:
    """exp overflows float32 from 88 on."""
    assert relative_error(attention, make_heads(n_positions=150, largest=largest, dtype=dtype)) < tolerance


@coarse_attention
@pytest.mark.parametrize("n_positions", [1, 2, 5, 6, 7, 15, 16, 17, 63, 64, 65, 200])
def test_windows_of_any_length(
    attention: EncoderAttention, dtype: torch.dtype, tolerance: float, n_positions: int
) -> None:
    """Kernels process 6, 16 and 64 positions at a time."""
    heads = make_heads(n_positions=n_positions, largest=3.0, dtype=dtype)
    assert relative_error(attention, heads) < tolerance


@coarse_attention
def test_earlier_contents_of_scratch_memory_do_not_matter(
    attention: EncoderAttention, dtype: torch.dtype, tolerance: float
) -> None:
    """After the last position there is what was in memory before, at worst NaN."""
    heads = make_heads(n_positions=70, largest=3.0, dtype=dtype)
    for _ in range(20):
        torch.full((1 << 16,), torch.nan)  # freed at once, so that the next call is likely to get it
        assert relative_error(attention, heads) < tolerance


@coarse_attention
def test_scores_far_below_zero_do_not_divide_by_zero(
    attention: EncoderAttention, dtype: torch.dtype, tolerance: float
) -> None:
    heads = torch.ones(150, 3, 1, HEAD_DIM, dtype=dtype)
    heads[:, 0], heads[:, 1] = -4.0, 4.0
    torch.testing.assert_close(attention(heads), heads[:, 2], atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(("attention", "dtype", "tolerance"), KERNEL_ATTENTIONS)
def test_equal_scores_average_all_positions_of_the_longest_window(
    attention: EncoderAttention, dtype: torch.dtype, tolerance: float
) -> None:
    """In integers, the sums of equal weights are the largest."""
    heads = torch.zeros(1_500, 3, 1, HEAD_DIM)
    heads[:, 2] = torch.linspace(0, 1, 1_500)[:, None, None]
    heads[:, 2, :, 1] = 1.0
    attended = attention(heads.to(dtype)).float()
    torch.testing.assert_close(attended[:, 0, 0], torch.full((1_500,), 0.5), atol=tolerance, rtol=0)
    torch.testing.assert_close(attended[:, 0, 1], torch.ones(1_500), atol=tolerance, rtol=0)


def test_torch_computes_attention_without_kernels() -> None:
    assert choose_encoder_attention(head_dim=HEAD_DIM, kernels=None) is torch_encoder_attention


@every_level
def test_the_kernel_computes_attention_of_whispers_heads(level: Level) -> None:
    kernels = kernels_of(level)
    assert choose_encoder_attention(head_dim=32, kernels=kernels) is torch_encoder_attention
    chosen = choose_encoder_attention(head_dim=HEAD_DIM, kernels=kernels)
    assert isinstance(chosen, KernelEncoderAttention)
