from __future__ import annotations

import pytest
import torch

from hf_asr_endpoint.whisper.decoding.sampling import logsumexp


@pytest.mark.parametrize("n_forbidden", [0, 999])
def test_logsumexp_equals_torchs(n_forbidden: int) -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 1_000) * torch.tensor([[0.1], [5.0], [50.0]])
    logits[:, :n_forbidden] = -torch.inf
    expected = logits.double().logsumexp(dim=1, keepdim=True).float()
    torch.testing.assert_close(logsumexp(logits), expected, atol=1e-5, rtol=1e-6)
