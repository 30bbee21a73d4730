"""Layer norm, and what it can take over from a quantized linear layer behind it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper.kernels.layout import NORM_EPSILON

MIN_MAGNITUDE = 1e-8  # of an input's weights, so that nothing is divided by 0


class LayerNorm:
    """y = (x - mean) / deviation × weight + bias, over the last dimension."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, NORM_EPSILON)


def evening_factors(weight: Tensor) -> Tensor:
    """Return a factor for each input of the linear layer behind a norm.

    weight: of the linear layer, shape = (n_out, n_in). Returns float32, shape = (n_in,).

    The weight is multiplied by it and the norm divided, so products stay the same, and the largest weight of each
    input becomes 1. A row of the weight has one scale in 8 bits, so that small weights would lose most to
    rounding; activations in 2 bytes have precision to spare for large inputs (Xiao et al. 2022, SmoothQuant,
    equation 4 with alpha = 0).
    """
    magnitudes = torch.maximum(weight.amax(dim=0), -weight.amin(dim=0)).float()
    return 1 / magnitudes.clamp_(min=MIN_MAGNITUDE)
