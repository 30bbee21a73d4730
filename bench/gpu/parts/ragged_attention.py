"""The ways to attend within windows of unequal length. The engine has the first two."""

from __future__ import annotations

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.device.ragged_encoder import (
    RaggedAttention,
    WindowBounds,
    attend_by_flash,
    attend_by_window,
)


def attend_by_cudnn(heads: Tensor, bounds: WindowBounds) -> Tensor:
    """One call of cuDNN's attention with cumulative lengths. On a GPU, in 16 bits."""
    longest = max(bounds.lengths)
    found: Tensor = torch.ops.aten._cudnn_attention_forward(
        *heads.unbind(1), None, bounds.ends, bounds.ends, longest, longest, False, 0.0, False, False, scale=1.0
    )[0]
    return found


ATTENTIONS: dict[str, RaggedAttention] = {
    "by window": attend_by_window,
    "flash": attend_by_flash,
    "cudnn": attend_by_cudnn,
}
