"""Linear layers as inference wants them: with the activation or the residual folded in, one class per arithmetic.

Measured on the CPU in bfloat16, 16 rows by Whisper's vocabulary: 3.7 ms for `torch.nn.functional.linear`, which
reorders the weight at every call, 1.6 ms for a weight reordered once, 0.6 ms for 8-bit integers.
"""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper import kernels
from hf_asr_endpoint.whisper.kernels.layout import (
    ADD,
    GELU,
    N_COLUMNS,
    PLAIN,
    WORD,
    ZERO_POINT,
    int8_gemm_scratch_bytes,
    padded,
    rows_per_block,
)
from hf_asr_endpoint.whisper.process import N_CORES

Arithmetic = Literal["float", "int8"]
"""How products with weights are computed: in the weights' own dtype, or in 8-bit integers."""

INT8_MAX = 127


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


def _rounded(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return a weight as 8-bit integers, and float32 scales, one for each output row, shape = (n_out)."""
    weight = weight.float()
    scales = weight.abs().amax(dim=1).clamp_(min=1e-8).div_(INT8_MAX)
    return (weight / scales[:, None]).round_().to(torch.int8), scales


class Int8Linear:
    """8-bit integers on the CPU, in any floating dtype, by torch's operators.

    The product is exact in 32-bit integers (VNNI, oneDNN); what is lost is lost in rounding rows and the weight.
    A scale per row of x keeps one sequence's numbers out of another's.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, n_rows: int, out_dtype: torch.dtype) -> None:
        """n_rows: how many rows calls will mostly have. out_dtype: of what is returned."""
        rounded, self._scales = _rounded(weight)
        self._weight = torch.ops.onednn.qlinear_prepack(rounded, [n_rows, weight.shape[1]])
        self._zeros = torch.zeros(len(weight), dtype=torch.int64)
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
        # Adds the zero point; wraps as it should.
        quantised = signed.view(torch.uint8).bitwise_xor_(ZERO_POINT)
        y: Tensor = torch.ops.onednn.qlinear_pointwise(
            *(quantised, 1.0, ZERO_POINT, self._weight, self._scales, self._zeros, None),
            *(1.0, 0, self._out_dtype, "none", [], ""),
        )
        return y, scale.to(self._out_dtype)


class Int8TileLinear:
    """The same for bfloat16, by a kernel of our own that does all of it in one pass."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, activation_bytes: int) -> None:
        """activation_bytes: 1 or 2, to which x is rounded. The number of inputs must be a multiple of WORD."""
        n_out, n_in = weight.shape

        def panels(rows: Tensor) -> Tensor:
            spare = rows.new_zeros((padded(n_out) - n_out, *rows.shape[1:]))
            return torch.cat([rows, spare]).view(-1, N_COLUMNS, *rows.shape[1:])

        rounded, scales = _rounded(weight)
        excess = rounded.sum(dim=1, dtype=torch.int32) * ZERO_POINT
        bias = torch.zeros(n_out) if bias is None else bias.float()
        words = rounded.view(n_out, n_in // WORD, WORD)
        self._weight = panels(words).transpose(1, 2).contiguous()
        self._finish = torch.stack([panels(excess.view(torch.float32)), panels(scales), panels(bias)], dim=1)
        self._n_out, self._activation_bytes = n_out, activation_bytes
        self._rows_per_block = rows_per_block(n_in, activation_bytes)
        self._scratch_bytes = int8_gemm_scratch_bytes(n_in, activation_bytes)
        self._multiply = kernels.int8_gemm_kernel()

    def __call__(self, x: Tensor) -> Tensor:
        return self._computed(x, PLAIN)

    def gelu(self, x: Tensor) -> Tensor:
        return self._computed(x, GELU)

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        return self._computed(x, ADD, residual.contiguous())

    def _computed(self, x: Tensor, finish: int, others: Tensor | None = None) -> Tensor:
        x = x.contiguous()
        y = x.new_empty((len(x), self._n_out))
        scratch = torch.empty((N_CORES, self._scratch_bytes), dtype=torch.uint8)
        tensors = (x, self._weight, self._finish, y if others is None else others, y, scratch)
        numbers = (
            *x.shape,
            self._n_out,
            finish,
            self._activation_bytes,
            self._rows_per_block,
            self._scratch_bytes,
        )
        self._multiply((*[tensor.data_ptr() for tensor in tensors], *numbers))
        return y
