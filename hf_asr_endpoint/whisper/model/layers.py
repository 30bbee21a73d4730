"""Builds the fused layers of inference from a checkpoint's tensors, and chooses the fastest kind of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper.kernels import Kernels
from hf_asr_endpoint.whisper.model.layer_norm import LayerNorm
from hf_asr_endpoint.whisper.model.linear import (
    Arithmetic,
    Int8Linear,
    Int8TileLinear,
    Linear,
    NormedLinear,
    PackedLinear,
    PlainLinear,
)


class LinearFactory(Protocol):
    """Makes a linear layer of a weight, a bias, and a norm that comes before it."""

    def __call__(self, weight: Tensor, bias: Tensor | None, norm: LayerNorm | None = None) -> Linear: ...


RowPadding = Callable[[Tensor], Tensor]
"""Appends rows of zeros, perhaps none, to rows, shape = (n_rows, n_columns)."""

MAX_CHEAP_ROWS = 16  # a product with so few rows takes little longer than with one: reading the weight dominates


def linear_factory(
    *,
    arithmetic: Arithmetic,
    n_rows: int,
    dtype: torch.dtype | None = None,
    activation_bytes: int = 1,
    evens_inputs: bool = False,
    kernels: Kernels | None = None,
) -> LinearFactory:
    """Return a function that makes the fastest linear layer for a weight's device.

    n_rows: the usual number of rows of its input. dtype: of the activations; None: the weight's. activation_bytes:
    1 or 2, to which the int8 kernel quantizes activations. evens_inputs: see `Int8TileLinear`. kernels: those for
    the weights' device and for dtype, if there are any.
    """

    def make(weight: Tensor, bias: Tensor | None, norm: LayerNorm | None = None) -> Linear:
        if arithmetic == "int8" and kernels is not None and kernels.layout.fills_words(weight.shape[1]):
            return Int8TileLinear(
                weight, bias, norm, activation_bytes=activation_bytes, evens_inputs=evens_inputs, kernels=kernels
            )
        linear = make_without_norm(weight, bias)
        return linear if norm is None else NormedLinear(norm, linear)

    def make_without_norm(weight: Tensor, bias: Tensor | None) -> Linear:
        activations = weight.dtype if dtype is None else dtype
        if arithmetic == "int8":
            return Int8Linear(weight, bias, n_rows=n_rows, out_dtype=activations)
        weight, bias = weight.to(activations), None if bias is None else bias.to(activations)
        is_bfloat16_on_cpu = weight.device.type == "cpu" and weight.dtype == torch.bfloat16
        return PackedLinear(weight, bias, n_rows=n_rows) if is_bfloat16_on_cpu else PlainLinear(weight, bias)

    return make


def row_padding(*, arithmetic: Arithmetic, kernels: Kernels | None) -> RowPadding:
    """Return a function that pads batches to a few sizes, so that oneDNN compiles few kernels.

    arithmetic, kernels: of the linear layers that read the batches. Our own kernel needs no padding.
    """
    return _no_padding if arithmetic == "int8" and kernels is not None else _pad_rows


def _no_padding(x: Tensor) -> Tensor:
    return x


def _pad_rows(x: Tensor) -> Tensor:
    """Pad to a power of 2, or above MAX_CHEAP_ROWS to 3/4 of one, so that at most a third of the rows is padding.

    oneDNN compiles 5 MB of code for each number of rows, and keeps it.
    """
    n_rows = len(x)
    n_padded = 1 << (n_rows - 1).bit_length()
    if n_padded > MAX_CHEAP_ROWS and n_rows <= n_padded * 3 // 4:
        n_padded = n_padded * 3 // 4
    return F.pad(x, (0, 0, 0, n_padded - n_rows))


def in_16_bits(embeddings: Tensor) -> Tensor:
    """Return the embeddings of tokens in 16 bits, if they fit float16: beside layers in int8, the error is small.

    In float32 they would be a quarter of large-v3-turbo's memory.
    """
    if embeddings.dtype != torch.float32:
        return embeddings
    smallest, largest = embeddings.aminmax()
    fits = bool(torch.maximum(-smallest, largest) <= torch.finfo(torch.float16).max)
    return embeddings.to(torch.float16) if fits else embeddings


def fuse_projections(
    projections: Sequence[tuple[Tensor, Tensor | None]], *, scale_first: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return weight and bias of linear layers that read the same input, as one layer.

    projections: weight and bias of each. scale_first: multiplies the first one; 1 / sqrt(head_dim) for queries.
    A missing bias, as that of Whisper's keys, becomes zeros.
    """
    weights = [weight for weight, _ in projections]
    biases = [torch.zeros_like(weight[:, 0]) if bias is None else bias for weight, bias in projections]
    if scale_first != 1.0:
        weights[0], biases[0] = _scaled(weights[0], scale_first), _scaled(biases[0], scale_first)
    return (weights[0], biases[0]) if len(weights) == 1 else (torch.cat(weights), torch.cat(biases))


def _scaled(tensor: Tensor, factor: float) -> Tensor:
    """Return a tensor times a small factor; float16 as float32, since its smallest numbers would lose bits."""
    if tensor.dtype == torch.float16 and tensor.device.type == "cpu":
        tensor = tensor.float()
    return tensor * factor
