"""Linear layers for inference, one class for each arithmetic, with what comes before and after fused into them.

Measured on the CPU in bfloat16, 16 rows times Whisper's vocabulary: 3.7 ms for `torch.nn.functional.linear`, which
reorders the weight in every call, 1.6 ms for a weight reordered once, 0.6 ms for 8-bit integers.
"""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper.kernels import Kernels
from hf_asr_endpoint.whisper.kernels.layout import (
    BIAS,
    BIAS_ADD,
    BIAS_GELU,
    MAX_INPUTS,
    MAX_INT8,
    WEIGHT_FORMATS,
    ZERO_POINT,
)
from hf_asr_endpoint.whisper.kernels.program import Call
from hf_asr_endpoint.whisper.memory import zeros_in_large_pages
from hf_asr_endpoint.whisper.model.layer_norm import LayerNorm, evening_factors
from hf_asr_endpoint.whisper.process import trim_heap
from hf_asr_endpoint.whisper.threads import N_CORES

Arithmetic = Literal["float", "int8"]
"""How activations and weights are multiplied: in the weights' own dtype, or in 8-bit integers."""

N_ROWS_WORD = 6  # of the data of `int8_gemm`

MIN_MAGNITUDE = 1e-8  # of a row, so that its scale is never 0


class Linear(Protocol):
    """y = x @ weight.T + bias, for x of shape (n_rows, n_in)."""

    def __call__(self, x: Tensor) -> Tensor: ...

    def gelu(self, x: Tensor) -> Tensor:
        """Return gelu(y)."""
        ...

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        """Return y + residual, both of shape (n_rows, n_out)."""
        ...


class NormedLinear:
    """A layer norm, and then a linear layer."""

    def __init__(self, norm: LayerNorm, linear: Linear) -> None:
        self.norm, self.linear = norm, linear

    def __call__(self, x: Tensor) -> Tensor:
        return self.linear(self.norm(x))

    def gelu(self, x: Tensor) -> Tensor:
        return self.linear.gelu(self.norm(x))

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.linear.add(self.norm(x), residual)


class PlainLinear:
    """torch's own operators, on any device in any floating-point dtype."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight, self._bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self._weight, self._bias)

    def gelu(self, x: Tensor) -> Tensor:
        return F.gelu(self(x))

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        return self(x).add_(residual)


class PackedLinear:
    """bfloat16 on the CPU, with the weight reordered once into oneDNN's layout.

    The operators are those that torch.compile's CPU backend emits (torch/_inductor/fx_passes/mkldnn_fusion.py).
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, n_rows: int) -> None:
        """n_rows: the usual number of rows of x, for which oneDNN chooses the layout."""
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


def _quantize_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return a weight as 8-bit integers and the scale of each of its rows, float32, shape = (n_out,)."""
    weight = weight.float()
    scales = weight.abs().amax(dim=1).clamp_(min=MIN_MAGNITUDE).div_(MAX_INT8)
    return (weight / scales[:, None]).round_().to(torch.int8), scales


class Int8Linear:
    """8-bit integers on the CPU by torch's operators, for activations of any floating-point dtype.

    The product is exact in 32-bit integers (VNNI, oneDNN); precision is lost only in quantizing x and the weight.
    Each row of x has its own scale, so that sequences of a batch do not affect one another.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, n_rows: int, out_dtype: torch.dtype) -> None:
        """n_rows: the usual number of rows of x. out_dtype: of the result."""
        quantized, self._scales = _quantize_weight(weight)
        self._weight = torch.ops.onednn.qlinear_prepack(quantized, [n_rows, weight.shape[1]])
        self._zeros = torch.zeros(len(weight), dtype=torch.int64)
        self._bias = None if bias is None else bias.to(out_dtype)
        self._out_dtype = out_dtype

    def __call__(self, x: Tensor) -> Tensor:
        product, row_scales = self._scaled_product(x)
        if self._bias is None:
            return product.mul_(row_scales)
        return torch.addcmul(self._bias, product, row_scales)

    def gelu(self, x: Tensor) -> Tensor:
        return F.gelu(self(x))

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        product, row_scales = self._scaled_product(x)
        total = torch.addcmul(residual, product, row_scales)
        return total if self._bias is None else total.add_(self._bias)

    def _scaled_product(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the product of the quantized x, and the scales of its rows, shape = (n_rows, 1)."""
        scales = x.abs().amax(dim=1, keepdim=True).float().clamp_(min=MIN_MAGNITUDE).div_(MAX_INT8)
        signed = (x.float() / scales).round_().to(torch.int8)
        # Flipping the sign bit adds the zero point.
        unsigned = signed.view(torch.uint8).bitwise_xor_(ZERO_POINT)
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            *(unsigned, 1.0, ZERO_POINT, self._weight, self._scales, self._zeros, None),
            *(1.0, 0, self._out_dtype, "none", [], ""),
        )
        return product, scales.to(self._out_dtype)


class Int8TileLinear:
    """8-bit weights, activations in integers, by the kernel `int8_gemm`: norm, quantization, epilogue in one pass.

    x and y have the dtype of the kernels' layout.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        norm: LayerNorm | None = None,
        *,
        activation_bytes: int,
        evens_inputs: bool = False,
        kernels: Kernels,
    ) -> None:
        """weight: in float32, float16 or bfloat16, whatever the activations' dtype; its number of inputs fills
        whole words. norm: comes first. activation_bytes: 1 or 2, the least to quantize x to. evens_inputs: whether
        the norm takes over what the weights of inputs differ by.
        """
        n_out, n_in = weight.shape
        layout = kernels.layout
        self._activation_bytes = layout.bytes_per_activation(activation_bytes)
        factors, self._norm = torch.ones(n_in), None
        if norm is not None:
            if evens_inputs:
                factors = evening_factors(weight)
            self._norm = torch.stack([norm.weight / factors, norm.bias / factors])  # (2, n_in)
        self._weight, self._column_parameters = _pack(weight, bias, factors, kernels)
        self.n_in, self.n_out, self._dtype = n_in, n_out, layout.activations
        self._rows_per_block = layout.rows_per_block(n_in, activation_bytes)
        self._scratch_bytes = layout.int8_gemm_scratch_bytes(n_in, activation_bytes)
        self._kernel = kernels.int8_gemm

    def __call__(self, x: Tensor) -> Tensor:
        return self._run(x, BIAS)

    def gelu(self, x: Tensor) -> Tensor:
        return self._run(x, BIAS_GELU)

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        return self._run(x, BIAS_ADD, residual.contiguous())

    def scratch(self) -> Tensor:
        """Return memory that the layer computes in."""
        return torch.empty((N_CORES, self._scratch_bytes), dtype=torch.uint8)

    def call(self, x: Tensor, y: Tensor, epilogue: int, *, scratch: Tensor) -> Call:
        """Return the kernel's call for the first rows of contiguous x and y, as many as its variable `rows` says.

        epilogue: with BIAS_ADD, y is the residual, too.
        """
        assert x.is_contiguous()
        assert y.is_contiguous()
        assert x.shape == (len(y), self.n_in)
        assert y.shape[1] == self.n_out
        data = self._data(x, y if epilogue == BIAS_ADD else None, y, epilogue, scratch)
        return Call(kernel=self._kernel, data=data, variables={N_ROWS_WORD: "rows"})

    def _run(self, x: Tensor, epilogue: int, residual: Tensor | None = None) -> Tensor:
        x = x.contiguous()
        y = x.new_empty((len(x), self.n_out))
        scratch = self.scratch()  # It must live until the kernel is done.
        self._kernel(self._data(x, residual, y, epilogue, scratch))
        return y

    def _data(self, x: Tensor, residual: Tensor | None, y: Tensor, epilogue: int, scratch: Tensor) -> list[int]:
        assert x.dtype == self._dtype
        tensors = (x, self._weight, self._column_parameters, y if residual is None else residual, y, scratch)
        return [
            *[tensor.data_ptr() for tensor in tensors],
            *x.shape,
            self.n_out,
            epilogue,
            self._activation_bytes,
            self._rows_per_block,
            self._scratch_bytes,
            0 if self._norm is None else self._norm.data_ptr(),
        ]


def _pack(weight: Tensor, bias: Tensor | None, factors: Tensor, kernels: Kernels) -> tuple[Tensor, Tensor]:
    """Return a weight in panels and the parameters of its columns, as `int8_gemm` reads them.

    factors: of its inputs, float32, shape = (n_in,).
    """
    layout = kernels.layout
    weight = weight.contiguous()
    (n_out, n_in), n_columns = weight.shape, layout.tile_columns
    assert layout.fills_words(n_in)
    assert n_in <= MAX_INPUTS
    n_padded = layout.padded_to_panels(n_out)
    n_elements = layout.elements_per_word
    packed = zeros_in_large_pages((n_padded // n_columns, n_in // n_elements, n_columns, n_elements), torch.int8)
    parameters = torch.empty((n_padded // n_columns, 3, n_columns))
    scratch_bytes = layout.pack_weight_scratch_bytes(n_in)
    scratch = torch.empty((N_CORES, scratch_bytes), dtype=torch.uint8)
    addresses = [tensor.data_ptr() for tensor in (weight, packed, parameters, scratch, factors)]
    kernels.pack_weight((*addresses, n_out, n_in, WEIGHT_FORMATS[weight.dtype], scratch_bytes))
    biases = torch.zeros(n_out) if bias is None else bias.float()
    parameters[:, 2] = F.pad(biases, (0, n_padded - n_out)).view(-1, n_columns)
    trim_heap()  # Small tensors that stay lie between freed weights, whose memory could not be used again.
    return packed, parameters
