"""The logarithm of the sum of powers, over a vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor


def log_total(logits: Tensor) -> Tensor:
    """Return what logits are to be diminished by to be log-probabilities, shape = (n_rows, 1).

    logits: float32, shape = (n_rows, n_vocab), not all of a row -inf. As `torch.logsumexp`, which takes longer on
    the CPU, most of all where some are -inf.
    """
    likeliest = torch.log_softmax(logits, dim=1).amax(dim=1, keepdim=True)
    return logits.amax(dim=1, keepdim=True).sub_(likeliest)
