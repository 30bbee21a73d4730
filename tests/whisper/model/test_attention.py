from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hf_asr_endpoint.whisper.model.attention import encoder_attention

N_HEADS, HEAD_DIM = 3, 64


def heads(*, n_positions: int, largest: float, dtype: torch.dtype) -> Tensor:
    """Return queries, keys and values whose scores reach up to about `largest`, on either side of 0."""
    generator = torch.Generator().manual_seed(n_positions)
    queries, keys, values = torch.randn(3, N_HEADS, n_positions, HEAD_DIM, generator=generator)
    scores = queries @ keys.transpose(1, 2)
    return torch.stack([queries * (largest / scores.abs().max()), keys, values]).permute(2, 0, 1, 3).to(dtype)


def error(given: Tensor) -> float:
    """Return by how much attention differs from what float64 gives, as a part of it."""
    queries, keys, values = given.double().permute(1, 2, 0, 3)
    expected = (torch.softmax(queries @ keys.transpose(1, 2), dim=-1) @ values).transpose(0, 1)
    attended = encoder_attention(given)
    assert attended.dtype == given.dtype
    assert attended.shape == expected.shape
    return float((attended.double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("largest", [0.0, 1.0, 20.0, 80.0, 500.0, 1e12])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_window_attends_to_itself_whatever_its_scores(dtype: torch.dtype, largest: float) -> None:
    """Beyond 88 powers of e leave float32."""
    tolerance = 1e-4 if dtype == torch.float32 else 0.01
    assert error(heads(n_positions=150, largest=largest, dtype=dtype)) < tolerance


@pytest.mark.parametrize("n_positions", [1, 2, 5, 6, 7, 63, 64, 65, 200])
def test_windows_of_any_length(n_positions: int) -> None:
    """Kernels go by 6, 16 and 64 positions."""
    assert error(heads(n_positions=n_positions, largest=3.0, dtype=torch.bfloat16)) < 0.01


def test_what_was_in_memory_before_does_not_matter() -> None:
    """Behind the last position there is whatever there was: no number, at worst."""
    given = heads(n_positions=70, largest=3.0, dtype=torch.bfloat16)
    for _ in range(20):
        torch.full((1 << 16,), torch.nan)  # freed at once, for the next call to have
        assert error(given) < 0.01


def test_scores_far_below_zero_are_no_division_by_zero() -> None:
    given = torch.ones(150, 3, 1, HEAD_DIM, dtype=torch.bfloat16)
    given[:, 0], given[:, 1] = -4.0, 4.0
    torch.testing.assert_close(encoder_attention(given), given[:, 2])
