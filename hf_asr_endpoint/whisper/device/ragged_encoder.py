"""An encoder of several windows at once, of any lengths: all positions are rows of one tensor.

The result is the engine's (`whisper.model.encoder`) but for rounding. Activations are clamped to float16's range.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper.device.operations import TorchOperations
from hf_asr_endpoint.whisper.device.weights import EncoderLayerWeights, EncoderWeights, Linear, Norm

KERNEL_SIZE = 3  # frames of a convolution
STRIDES = (1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowBounds:
    """lengths: of the windows, in positions. ends: see `window_ends`, on the device."""

    lengths: tuple[int, ...]
    ends: Tensor

    @property
    def runs(self) -> list[tuple[int, int]]:
        """Each length and how often it stands in a row."""
        return [(length, len(list(equal))) for length, equal in groupby(self.lengths)]


def window_ends(lengths: Sequence[int]) -> Tensor:
    """Return cumulative lengths, from 0, int32, on the host."""
    return torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)


def n_positions(mel: Tensor) -> int:
    """Return the encoder's positions for mel frames, shape = (n_mels, n_frames)."""
    return (mel.shape[1] - 1) // 2 + 1


RaggedAttention = Callable[[Tensor, WindowBounds], Tensor]
"""Attends within each window. Takes queries (scaled), keys, values, shape = (n_positions, 3, n_heads, head_dim);
returns shape = (n_positions, n_heads, head_dim)."""


def attend_by_window(heads: Tensor, bounds: WindowBounds) -> Tensor:
    """One call of torch's attention for each run of windows of equal length. On any device."""
    found, first = [], 0
    for length, n_windows in bounds.runs:
        part = heads[first : first + length * n_windows].unflatten(0, (n_windows, length))
        queries, keys, values = part.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(queries, keys, values, scale=1.0)
        found.append(attended.transpose(1, 2).flatten(0, 1))
        first += length * n_windows
    return found[0] if len(found) == 1 else torch.cat(found)


def attend_by_flash(heads: Tensor, bounds: WindowBounds) -> Tensor:
    """One call of flash attention with cumulative lengths. On a GPU, in 16 bits."""
    longest = max(bounds.lengths)
    found: Tensor = torch.ops.aten._flash_attention_forward(
        *heads.unbind(1), bounds.ends, bounds.ends, longest, longest, 0.0, False, False, scale=1.0
    )[0]
    return found


def choose_attention(dtype: torch.dtype, *, has_flash: bool) -> RaggedAttention:
    """Return the fastest attention. has_flash: whether the device has flash attention, which needs 16 bits.

    An H100 in float16: 8 windows of unequal length take 184 µs by flash and 695 by window; 8 of equal length take
    250 by window, in one call of cuDNN's attention, and 358 by flash.
    """
    is_fast = has_flash and dtype != torch.float32

    def attend(heads: Tensor, bounds: WindowBounds) -> Tensor:
        return (attend_by_flash if is_fast and len(bounds.runs) > 1 else attend_by_window)(heads, bounds)

    return attend


_TORCH = TorchOperations()

AddNorm = Callable[[Tensor, Tensor, Tensor, Norm], tuple[Tensor, Tensor]]
"""See `StepOperations.add_norm`."""

HiddenLayer = Callable[[Tensor, Linear], Tensor]
"""A linear layer and GELU."""


def exact_hidden(x: Tensor, linear: Linear) -> Tensor:
    return F.gelu(F.linear(x, *linear))


class RaggedEncoder:
    """Encodes mel frames of several windows, one after another in one tensor."""

    def __init__(
        self,
        weights: EncoderWeights,
        *,
        attention: RaggedAttention = attend_by_window,
        hidden: HiddenLayer = exact_hidden,
        add_norm: AddNorm = _TORCH.add_norm,
    ) -> None:
        self._weights, self._attention, self._hidden, self._add_norm = weights, attention, hidden, add_norm

    @property
    def dtype(self) -> torch.dtype:
        return self._weights.positions.dtype

    @property
    def n_mels(self) -> int:
        weight, _ = self._weights.convolutions[0]
        return weight.shape[1] // KERNEL_SIZE

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
