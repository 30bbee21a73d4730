"""Whisper's audio encoder over fused layers: turns a window's mel frames into features.

Source: Radford et al. 2022, section 2.2; the tensors' names are those of transformers' WhisperEncoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper.checkpoint.tensors import Tensors
from hf_asr_endpoint.whisper.kernels import Kernels
from hf_asr_endpoint.whisper.model.attention import EncoderAttention, choose_encoder_attention
from hf_asr_endpoint.whisper.model.layer_norm import LayerNorm
from hf_asr_endpoint.whisper.model.layers import LinearFactory, fuse_projections

STRIDES = {"conv1": 1, "conv2": 2}
KERNEL_SIZE = 3  # frames


class Encoder:
    """Encodes windows. One shorter than 30 s takes less time."""

    def __init__(
        self,
        tensors: Tensors,
        make_linear: LinearFactory,
        make_convolution: LinearFactory,
        *,
        n_layers: int,
        head_dim: int,
        kernels: Kernels | None = None,
    ) -> None:
        """make_convolution: makes the convolutions' linear layers; quantizing spectrograms costs more accuracy
        than quantizing activations. kernels: those for the tensors' device and dtype, if there are any.
        """
        self._convolutions = [
            _Convolution(*tensors.convolution(name), make_convolution, stride=stride)
            for name, stride in STRIDES.items()
        ]
        self._positions = tensors["embed_positions.weight"]  # (n_positions, d_model)
        attention = choose_encoder_attention(head_dim=head_dim, kernels=kernels)
        self._layers = [
            _EncoderLayer(tensors.under(f"layers.{index}"), make_linear, attention, head_dim=head_dim)
            for index in range(n_layers)
        ]
        self._norm = LayerNorm(*tensors.norm("layer_norm"))

    def __call__(self, mels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return each window's features, shape = (n_frames // 2, d_model).

        mels: shape = (n_mels, n_frames) each. All windows' positions are rows of the same products, so that many
        cores have enough to do. In our kernels a row's result depends on no other row.
        """
        windows = [self._convolve(mel.t()) for mel in mels]
        lengths = [len(window) for window in windows]
        x = _join(windows)
        for layer in self._layers:
            x = layer(x, lengths)
        return torch.split(self._norm(x), lengths)

    def _convolve(self, x: Tensor) -> Tensor:
        for convolution in self._convolutions:
            x = convolution(x)
        return x + self._positions[: len(x)]


def _join(parts: Sequence[Tensor]) -> Tensor:
    """Return parts one after another; a single one is not copied."""
    return torch.cat(list(parts)) if len(parts) > 1 else parts[0]


class _Convolution:
    """A convolution over time with its activation: a linear layer over overlapping rows of frames."""

    def __init__(self, weight: Tensor, bias: Tensor | None, make_linear: LinearFactory, *, stride: int) -> None:
        """weight: shape = (n_out, n_in, KERNEL_SIZE)."""
        self._linear = make_linear(weight.transpose(1, 2).flatten(1), bias)
        self._stride = stride

    def __call__(self, x: Tensor) -> Tensor:
        """x: shape = (n_frames, n_in)."""
        n_frames, n_in = x.shape
        padded = F.pad(x, (0, 0, 1, 1)).contiguous()
        n_rows = (n_frames + 2 - KERNEL_SIZE) // self._stride + 1
        rows = padded.as_strided((n_rows, KERNEL_SIZE * n_in), (self._stride * n_in, 1))
        return self._linear.gelu(rows.contiguous())


class _EncoderLayer:
    def __init__(
        self, tensors: Tensors, make_linear: LinearFactory, attention: EncoderAttention, *, head_dim: int
    ) -> None:
        weights = tensors.under("self_attn")
        self._head_dim = head_dim
        self._attention = attention
        projections = ("q_proj", "k_proj", "v_proj")
        # Weights get no names: a local variable would keep them in memory until the layer is complete.
        self._qkv = make_linear(
            *fuse_projections([weights.linear(name) for name in projections], scale_first=head_dim**-0.5),
            LayerNorm(*tensors.norm("self_attn_layer_norm")),
        )
        self._out = make_linear(*weights.linear("out_proj"))
        self._fc1 = make_linear(*tensors.linear("fc1"), LayerNorm(*tensors.norm("final_layer_norm")))
        self._fc2 = make_linear(*tensors.linear("fc2"))

    def __call__(self, x: Tensor, lengths: list[int]) -> Tensor:
        """x: the positions of all windows. lengths: their number in each window."""
        heads = self._qkv(x).view(len(x), 3, -1, self._head_dim)
        attended = _join([self._attention(window) for window in torch.split(heads, lengths)])
        x = self._out.add(attended.reshape(x.shape), x)
        return self._fc2.add(self._fc1.gelu(x), x)
