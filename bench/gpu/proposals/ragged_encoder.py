"""An encoder of several windows at once, of any lengths: all positions are rows of one tensor.

The result is the engine's (`whisper.model.encoder`) but for rounding. Activations are clamped to float16's range.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.gpu.proposals import HAS_TRITON
from bench.gpu.proposals.operations import TorchOperations
from bench.gpu.proposals.weights import EncoderLayerWeights, EncoderWeights, Linear

KERNEL_SIZE = 3  # frames of a convolution
STRIDES = (1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowBounds:
    """lengths: of the windows, in positions. ends: cumulative lengths, from 0, int32 on the device."""

    lengths: tuple[int, ...]
    ends: Tensor

    @property
    def total(self) -> int:
        return sum(self.lengths)


def window_bounds(lengths: Sequence[int], *, device: str) -> WindowBounds:
    ends = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    return WindowBounds(lengths=tuple(lengths), ends=ends.to(device))


RaggedAttention = Callable[[Tensor, WindowBounds], Tensor]
"""Attends within each window. Takes queries (scaled), keys, values, shape = (n_positions, 3, n_heads, head_dim);
returns shape = (n_positions, n_heads, head_dim)."""


def attend_by_window(heads: Tensor, bounds: WindowBounds) -> Tensor:
    """One call of torch's attention for each run of windows of equal length. On any device."""
    found, first = [], 0
    for length, n_windows in _runs(bounds.lengths):
        part = heads[first : first + length * n_windows].unflatten(0, (n_windows, length))
        queries, keys, values = part.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(queries, keys, values, scale=1.0)
        found.append(attended.transpose(1, 2).flatten(0, 1))
        first += length * n_windows
    return found[0] if len(found) == 1 else torch.cat(found)


def _runs(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Return each length and how often it stands in a row."""
    runs: list[tuple[int, int]] = []
    for length in lengths:
        if runs and runs[-1][0] == length:
            runs[-1] = (length, runs[-1][1] + 1)
        else:
            runs.append((length, 1))
    return runs


def attend_by_flash(heads: Tensor, bounds: WindowBounds) -> Tensor:
    """One call of flash attention with cumulative lengths. On a GPU, in 16 bits."""
    longest = max(bounds.lengths)
    found: Tensor = torch.ops.aten._flash_attention_forward(
        *heads.unbind(1), bounds.ends, bounds.ends, longest, longest, 0.0, False, False, scale=1.0
    )[0]
    return found


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

HiddenLayer = Callable[[Tensor, Linear], Tensor]
"""A linear layer and GELU."""


def exact_hidden(x: Tensor, linear: Linear) -> Tensor:
    return F.gelu(F.linear(x, *linear))


def tanh_hidden(x: Tensor, linear: Linear) -> Tensor:
    """cuBLASLt computes GELU's tanh approximation within the product. On a GPU."""
    weight, bias = linear
    found: Tensor = torch.ops.aten._addmm_activation(bias, x, weight.t(), use_gelu=True)
    return found


class RaggedEncoder:
    """Encodes mel frames of several windows, one after another in one tensor."""

    def __init__(
        self,
        weights: EncoderWeights,
        *,
        attention: RaggedAttention = attend_by_window,
        hidden: HiddenLayer = exact_hidden,
        uses_triton: bool = False,
    ) -> None:
        """uses_triton: whether the residual and the layer norm are one kernel."""
        self._weights, self._attention, self._hidden = weights, attention, hidden
        self._add_norm = TorchOperations().add_norm
        if uses_triton and HAS_TRITON:
            from bench.gpu.proposals.row_kernels import add_norm

            self._add_norm = add_norm

    @property
    def dtype(self) -> torch.dtype:
        return self._weights.positions.dtype

    def __call__(self, mels: Sequence[Tensor], bounds: WindowBounds) -> Tensor:
        """Return features, shape = (sum of lengths, d_model). mels: shape = (n_mels, 2 × length) each."""
        return self.encode_rows(self.embed(mels, bounds), bounds)

    def embed(self, mels: Sequence[Tensor], bounds: WindowBounds) -> Tensor:
        """Return the convolutions' results with positions: windows are padded apart, so that none sees another."""
        rows = [mel.t() for mel in mels]
        for (weight, bias), stride in zip(self._weights.convolutions, STRIDES, strict=True):
            patches = torch.cat([_patches(each, stride) for each in rows])
            found = F.gelu(F.linear(patches, weight, bias))
            rows = list(found.split([(len(each) - 1) // stride + 1 for each in rows]))
        places = torch.cat([self._weights.positions[:length] for length in bounds.lengths])
        return torch.cat(rows) + places

    def encode_rows(self, x: Tensor, bounds: WindowBounds) -> Tensor:
        """Run the layers. x: shape = (sum of lengths, d_model)."""
        weights = self._weights
        following = [*(layer.attention_norm for layer in weights.layers[1:]), weights.final_norm]
        normed = F.layer_norm(x, x.shape[1:], *weights.layers[0].attention_norm)
        for layer, next_norm in zip(weights.layers, following, strict=True):
            x, normed = self.run_layer(layer, x, normed, next_norm, bounds)
        return normed

    def run_layer(
        self, layer: EncoderLayerWeights, x: Tensor, normed: Tensor, next_norm: Linear, bounds: WindowBounds
    ) -> tuple[Tensor, Tensor]:
        heads = F.linear(normed, *layer.qkv).view(len(x), 3, self._weights.n_heads, -1)
        attended = self._attention(heads, bounds).reshape(x.shape)
        x, normed = self._add_norm(x, F.linear(attended, layer.out[0]), layer.out[1], layer.hidden_norm)
        hidden = self._hidden(normed, layer.hidden)
        return self._add_norm(x, F.linear(hidden, layer.hidden_out[0]), layer.hidden_out[1], next_norm)


def _patches(x: Tensor, stride: int) -> Tensor:
    """Return the frames under a convolution's kernel at each of its places. x: shape = (n_frames, n_in)."""
    padded = F.pad(x, (0, 0, 1, 1)).contiguous()
    n_rows = (len(x) + 2 - KERNEL_SIZE) // stride + 1
    return padded.as_strided((n_rows, KERNEL_SIZE * x.shape[1]), (stride * x.shape[1], 1))
