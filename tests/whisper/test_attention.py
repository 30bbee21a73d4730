from __future__ import annotations

import pytest
import torch

from hf_asr_endpoint.whisper.attention import attend_window

N_HEADS, N_POSITIONS, HEAD_DIM = 3, 150, 64


def heads(*, largest: float, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return queries, keys and values whose scores reach up to about `largest`, on either side of 0."""
    generator = torch.Generator().manual_seed(0)
    queries, keys, values = torch.randn(3, N_HEADS, N_POSITIONS, HEAD_DIM, generator=generator)
    scores = queries @ keys.transpose(1, 2)
    return (queries * (largest / scores.abs().max())).to(dtype), keys.to(dtype), values.to(dtype)


@pytest.mark.parametrize("largest", [0.0, 1.0, 20.0, 80.0, 500.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_window_attends_to_itself_whatever_its_scores(dtype: torch.dtype, largest: float) -> None:
    """Beyond 88 powers of e leave bfloat16."""
    queries, keys, values = heads(largest=largest, dtype=dtype)
    attended = attend_window(queries, keys, values)
    scores = queries.double() @ keys.double().transpose(1, 2)
    expected = torch.softmax(scores, dim=-1) @ values.double()
    assert attended.dtype == dtype
    assert attended.isfinite().all()
    # In bfloat16 scores are rounded to 1 in 256, which is most where they are largest.
    tolerance = 1e-4 if dtype == torch.float32 else 0.02 + 0.005 * largest
    error = (attended.double() - expected).norm() / expected.norm()
    assert error < tolerance


def test_scores_far_below_zero_are_no_division_by_zero() -> None:
    queries = torch.full((1, N_POSITIONS, HEAD_DIM), -4.0, dtype=torch.bfloat16)
    keys = torch.full((1, N_POSITIONS, HEAD_DIM), 4.0, dtype=torch.bfloat16)
    values = torch.ones(1, N_POSITIONS, HEAD_DIM, dtype=torch.bfloat16)
    torch.testing.assert_close(attend_window(queries, keys, values), values)
