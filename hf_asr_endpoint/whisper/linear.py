"""Linear layers as inference wants them: with the activation or the residual folded in, one class per arithmetic.

Measured on the CPU in bfloat16, 16 rows by Whisper's vocabulary: 3.7 ms for `torch.nn.functional.linear`, which
reorders the weight at every call, 1.6 ms for a weight reordered once, 0.6 ms for 8-bit integers.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper.kernels.int8_rows import ADD, GELU, PLAIN, finish_rows, quantise_rows

INT8_MAX = 127
UINT8_ZERO = 128  # oneDNN's fast kernels take unsigned activations; this is their zero


class Linear(Protocol):
    """y = x @ weight.T + bias, for x of shape (n_rows, n_in)."""

    def __call__(self, x: Tensor) -> Tensor: ...

    def gelu(self, x: Tensor) -> Tensor:
        """Return gelu(y)."""
        ...

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        """Return y + residual, both of shape (n_rows, n_out)."""
        ...


class PlainLinear:
    """torch's own, on any device in any floating dtype."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight, self._bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self._weight, self._bias)

    def gelu(self, x: Tensor) -> Tensor:
        return F.gelu(self(x))

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        return self(x).add_(residual)


class PackedLinear:
    """bfloat16 on the CPU, the weight reordered once into oneDNN's own layout.

    The operators are those that torch.compile's CPU backend emits (torch/_inductor/fx_passes/mkldnn_fusion.py).
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, n_rows: int) -> None:
        """n_rows: how many rows calls will mostly have, for which the layout is chosen."""
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, n_rows)
        self._bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")
        return y

    def gelu(self, x: Tensor) -> Tensor:
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "gelu", [], "none")
        return y

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        y: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, residual, self._weight, self._bias, "add")
        return y


class Int8Weight:
    """A weight rounded to 8-bit integers with a scale per output row.

    The product is exact in 32-bit integers (VNNI, oneDNN); what is lost is lost in rounding rows and the weight.
    """

    def __init__(self, weight: Tensor, *, n_rows: int, out_dtype: torch.dtype) -> None:
        """n_rows: how many rows products will mostly have. out_dtype: of what is returned."""
        weight = weight.float()
        self._scales = weight.abs().amax(dim=1).clamp_(min=1e-8).div_(INT8_MAX)  # (n_out,)
        rounded = (weight / self._scales[:, None]).round_().to(torch.int8)
        self._weight = torch.ops.onednn.qlinear_prepack(rounded, [n_rows, weight.shape[1]])
        self._zeros = torch.zeros(len(weight), dtype=torch.int64)
        self._out_dtype = out_dtype

    def product(self, rows: Tensor) -> Tensor:
        """Return the product in units of the rows' scales. rows: uint8, (n_rows, n_in), UINT8_ZERO for 0."""
        y: Tensor = torch.ops.onednn.qlinear_pointwise(
            *(rows, 1.0, UINT8_ZERO, self._weight, self._scales, self._zeros, None),
            *(1.0, 0, self._out_dtype, "none", [], ""),
        )
        return y


class Int8Linear:
    """8-bit integers on the CPU, in any floating dtype, by torch's operators.

    A scale per row of x keeps one sequence's numbers out of another's.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, n_rows: int, out_dtype: torch.dtype) -> None:
        """n_rows: how many rows calls will mostly have. out_dtype: of what is returned."""
        self._weight = Int8Weight(weight, n_rows=n_rows, out_dtype=out_dtype)
        self._bias = None if bias is None else bias.to(out_dtype)
        self._out_dtype = out_dtype

    def __call__(self, x: Tensor) -> Tensor:
        y, scale = self._scaled_product(x)
        if self._bias is None:
            return y.mul_(scale)
        return torch.addcmul(self._bias, y, scale)

    def gelu(self, x: Tensor) -> Tensor:
        return F.gelu(self(x))

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        y, scale = self._scaled_product(x)
        total = torch.addcmul(residual, y, scale)
        return total if self._bias is None else total.add_(self._bias)

    def _scaled_product(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the product in units of a scale per row, shape = (n_rows, 1), and that scale."""
        scale = x.abs().amax(dim=1, keepdim=True).float().clamp_(min=1e-8).div_(INT8_MAX)
        signed = (x.float() / scale).round_().to(torch.int8)
        quantised = signed.view(torch.uint8).bitwise_xor_(UINT8_ZERO)  # Adds the zero point; wraps as it should.
        return self._weight.product(quantised), scale.to(self._out_dtype)


class Int8KernelLinear:
    """The same for bfloat16, by kernels of our own around the product."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, n_rows: int) -> None:
        """n_rows: how many rows calls will mostly have."""
        self._weight = Int8Weight(weight, n_rows=n_rows, out_dtype=torch.bfloat16)
        self._bias = torch.zeros(len(weight)) if bias is None else bias.float()
        self._quantise, self._finish = quantise_rows(), finish_rows()

    def __call__(self, x: Tensor) -> Tensor:
        return self._computed(x, PLAIN)

    def gelu(self, x: Tensor) -> Tensor:
        return self._computed(x, GELU)

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        return self._computed(x, ADD, residual.contiguous())

    def _computed(self, x: Tensor, wanted: int, others: Tensor | None = None) -> Tensor:
        x = x.contiguous()
        rows, scales = torch.empty(x.shape, dtype=torch.uint8), torch.empty(len(x))
        self._quantise((x.data_ptr(), rows.data_ptr(), scales.data_ptr(), *x.shape, UINT8_ZERO))
        y = self._weight.product(rows)
        addresses = [tensor.data_ptr() for tensor in (y, scales, self._bias, y if others is None else others)]
        self._finish((*addresses, *y.shape, wanted))
        return y
