"""The feed-forward's first half in one operation. The engine has the exact form, in two."""

from __future__ import annotations

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.device.weights import Linear


def tanh_hidden(x: Tensor, linear: Linear) -> Tensor:
    """cuBLASLt computes GELU's tanh approximation within the product. On a GPU."""
    weight, bias = linear
    found: Tensor = torch.ops.aten._addmm_activation(bias, x, weight.t(), use_gelu=True)
    return found
