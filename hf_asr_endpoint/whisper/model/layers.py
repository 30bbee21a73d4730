"""Turns a checkpoint's tensors into the fused layers that inference runs on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper import kernels
from hf_asr_endpoint.whisper.kernels.layout import WORD
from hf_asr_endpoint.whisper.model.linear import (
    Arithmetic,
    Int8Linear,
    Int8TileLinear,
    Linear,
    PackedLinear,
    PlainLinear,
)

NORM_EPSILON = 1e-5  # added to the variance; torch's own, in every Whisper

LinearFactory = Callable[[Tensor, Tensor | None], Linear]

PadRows = Callable[[Tensor], Tensor]
"""Adds rows of zeros to rows, shape = (n_rows, n_columns), or none."""

FEW_ROWS = 16


class LayerNorm:
    """y = (x - mean) / deviation × weight + bias, over the last dimension."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight, self._bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self._weight.shape, self._weight, self._bias, NORM_EPSILON)


def linear_factory(*, arithmetic: Arithmetic, n_rows: int, activation_bytes: int = 1) -> LinearFactory:
    """Return what makes the fastest linear layer for the device and dtype of the weights it is given.

    n_rows: how many rows calls will mostly have. activation_bytes: bytes, 1 or 2, that tiles round rows to.
    """

    def make(weight: Tensor, bias: Tensor | None) -> Linear:
        if _suits_tiles(arithmetic, weight) and weight.shape[1] % WORD == 0:
            return Int8TileLinear(weight, bias, activation_bytes=activation_bytes)
        if arithmetic == "int8":
            return Int8Linear(weight, bias, n_rows=n_rows, out_dtype=weight.dtype)
        is_packed = _is_bfloat16_on_cpu(weight)
        return PackedLinear(weight, bias, n_rows=n_rows) if is_packed else PlainLinear(weight, bias)

    return make


def row_padding(*, arithmetic: Arithmetic, like: Tensor) -> PadRows:
    """Return what adds the rows with which such linear layers have few numbers of rows to know.

    like: a tensor of the weights' device and dtype.
    """
    return _no_padding if _suits_tiles(arithmetic, like) else _pad_rows


def _suits_tiles(arithmetic: Arithmetic, weight: Tensor) -> bool:
    return arithmetic == "int8" and _is_bfloat16_on_cpu(weight) and kernels.prefer_tiles()


def _is_bfloat16_on_cpu(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.bfloat16


def _no_padding(x: Tensor) -> Tensor:
    return x


def _pad_rows(x: Tensor) -> Tensor:
    """Add rows of zeros: oneDNN makes, and keeps, 5 MB of kernels for each number of rows that it meets.

    x: shape = (n_rows, d_model). Up to 16 rows take hardly more time than one: it goes into reading weights.
    Further on a power of 2 or its half more, so that at most a third of the rows is spare.
    """
    n_rows = len(x)
    enough = 1 << (n_rows - 1).bit_length()
    if enough > FEW_ROWS and n_rows <= enough * 3 // 4:
        enough = enough * 3 // 4
    return F.pad(x, (0, 0, 0, enough - n_rows))


def stack(
    projections: Sequence[tuple[Tensor, Tensor | None]], *, scale_first: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return weight and bias of linear layers that read the same input, as one layer.

    projections: weight and bias of each. scale_first: multiplies the first one: the queries' 1 / sqrt(head_dim).
    Whisper's keys have no bias.
    """
    weights = [weight for weight, _ in projections]
    biases = [torch.zeros_like(weight[:, 0]) if bias is None else bias for weight, bias in projections]
    weights[0], biases[0] = weights[0] * scale_first, biases[0] * scale_first
    return torch.cat(weights), torch.cat(biases)
