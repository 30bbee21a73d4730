"""The encoder's attention, computed in the way that is fastest for the device and dtype.

Queries come scaled: the factor is folded into their weights.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper.kernels import Kernels
from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM
from hf_asr_endpoint.whisper.threads import N_CORES

EncoderAttention = Callable[[Tensor], Tensor]
"""Attends from all positions to all. Takes queries (scaled), keys and values, shape = (n_positions, 3, n_heads,
head_dim); returns shape = (n_positions, n_heads, head_dim)."""


def choose_encoder_attention(*, head_dim: int, kernels: Kernels | None) -> EncoderAttention:
    """Return the fastest attention. kernels: those for the activations' device and dtype, if there are any."""
    if kernels is not None and head_dim == HEAD_DIM:
        return KernelEncoderAttention(kernels)
    return torch_encoder_attention


def torch_encoder_attention(heads: Tensor) -> Tensor:
    """See `EncoderAttention`. For any device and dtype."""
    queries, keys, values = heads.permute(1, 2, 0, 3)[:, None]
    return F.scaled_dot_product_attention(queries, keys, values, scale=1.0)[0].transpose(0, 1)


class KernelEncoderAttention:
    """See `EncoderAttention`. For the kernels' dtype on the CPU and heads of HEAD_DIM channels."""

    def __init__(self, kernels: Kernels) -> None:
        self._kernel, self._layout = kernels.encoder_attention, kernels.layout

    def __call__(self, heads: Tensor) -> Tensor:
        n_positions, _, n_heads, head_dim = heads.shape
        assert heads.dtype == self._layout.activations
        heads = heads.contiguous()
        attended = heads.new_empty((n_positions, n_heads, head_dim))
        scratch_bytes = self._layout.encoder_attention_scratch_bytes(n_positions)
        scratch = torch.empty((N_CORES, scratch_bytes), dtype=torch.uint8)
        addresses = [tensor.data_ptr() for tensor in (heads, attended, scratch)]
        self._kernel((*addresses, n_positions, n_heads, scratch_bytes))
        return attended
