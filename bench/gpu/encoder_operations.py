"""The operations that the encoder's time consists of, in float16 on a GPU: products, attention, elementwise ones.

Each operation is called many times in a row, so that the host's part does not count.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench.gpu.running import Log
from bench.gpu.shapes import Shape
from bench.gpu.timing import measure

N_CALLS = 20
WINDOWS = (1, 8)
LENGTHS = (450, 750, 1_500, 600, 1_200, 900, 450, 1_500)
HEAD_DIM = 64
BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}


def run(log: Log, shape: Shape) -> None:
    operations = {
        "products": measure_products,
        "elements": measure_elements,
        "attention": measure_attention,
        "unequal": measure_unequal_windows,
        "gelu": compare_gelu,
    }
    for name, work in operations.items():
        with log.part(name):
            work(log, shape)


def call_us(work: Callable[[], Any]) -> float:
    """Return the device's time for one of many calls in a row."""

    def repeat() -> None:
        for _ in range(N_CALLS):
            work()

    return 1e3 * (measure(repeat, device="cuda", n=5).device_ms or 0.0) / N_CALLS


def measure_products(log: Log, shape: Shape) -> None:
    d, n_hidden = shape.config.d_model, shape.config.encoder_ffn_dim
    for n_windows in WINDOWS:
        found = {}
        for name, n_in, n_out in (("qkv", d, 3 * d), ("out", d, d), ("fc1", d, n_hidden), ("fc2", n_hidden, d)):
            x, weight, bias = _random(1_500 * n_windows, n_in), _random(n_out, n_in), _random(n_out)
            us = call_us(partial(F.linear, x, weight, bias))
            found[name] = {"us": us, "tflop_per_s": 2 * 1_500 * n_windows * n_in * n_out / us / 1e6}
        log.write(f"products of {n_windows} windows", **found)


def measure_elements(log: Log, shape: Shape) -> None:
    d, n_hidden = shape.config.d_model, shape.config.encoder_ffn_dim
    scale = _random(d)
    for n_windows in WINDOWS:
        x, hidden, other = (_random(1_500 * n_windows, width) for width in (d, n_hidden, d))
        works: dict[str, Callable[[], Any]] = {
            "layer norm": partial(F.layer_norm, x, (d,), scale, scale),
            "gelu": partial(F.gelu, hidden),
            "add": partial(x.add_, other),
        }
        log.write(f"elements of {n_windows} windows, us", **{name: call_us(work) for name, work in works.items()})


def measure_attention(log: Log, shape: Shape) -> None:
    """Measure one layer's attention, with the encoder's memory layout."""
    n_heads = shape.config.encoder_attention_heads
    for n_windows in WINDOWS:
        heads = _random(n_windows, 1_500, 3, n_heads, HEAD_DIM)
        queries, keys, values = heads.permute(2, 0, 3, 1, 4)
        flops = n_windows * 4 * 1_500**2 * shape.config.d_model
        for name, backend in BACKENDS.items():
            with log.part(f"attention of {n_windows} windows, {name}"), sdpa_kernel(backend):
                us = call_us(partial(F.scaled_dot_product_attention, queries, keys, values, scale=0.125))
                log.write(f"attention of {n_windows} windows, {name}", us=us, tflop_per_s=flops / us / 1e6)


def measure_unequal_windows(log: Log, shape: Shape) -> None:
    """Measure one call of torch's flash attention for concatenated windows, and compare it with separate calls."""
    ends = torch.tensor([0, *LENGTHS], device="cuda").cumsum(0).to(torch.int32)
    heads = _random(sum(LENGTHS), 3, shape.config.encoder_attention_heads, HEAD_DIM)

    def one_call() -> Tensor:
        queries, keys, values = heads.unbind(1)
        found: Tensor = torch.ops.aten._flash_attention_forward(
            *(queries, keys, values, ends, ends, max(LENGTHS), max(LENGTHS), 0.0, False, False), scale=0.125
        )[0]
        return found

    def separate_calls() -> Tensor:
        found, first = [], 0
        for length in LENGTHS:
            queries, keys, values = heads[first : first + length].permute(1, 2, 0, 3)[:, None]
            found.append(F.scaled_dot_product_attention(queries, keys, values, scale=0.125)[0].transpose(0, 1))
            first += length
        return torch.cat(found)

    expected = separate_calls().float()
    error = float((one_call().float() - expected).norm() / expected.norm())
    log.write(
        "attention of unequal windows, together and apart",
        us=call_us(one_call),
        apart_us=call_us(separate_calls),
        error=error,
    )


def compare_gelu(log: Log, shape: Shape) -> None:
    """Find out which GELU cuBLASLt's epilogue computes, exact or tanh, and how much time it saves.

    They are compared where the two functions differ most.
    """
    d, n_hidden = shape.config.d_model, shape.config.encoder_ffn_dim
    x, weight, bias = _random(1_500, d), _random(n_hidden, d) * d**-0.5, _random(n_hidden)
    exact = F.linear(x.double(), weight.double(), bias.double())
    differ = (exact > -3) & (exact < -1.5)

    def fused() -> Tensor:
        found: Tensor = torch.ops.aten._addmm_activation(bias, x, weight.t(), use_gelu=True)
        return found

    def separate() -> Tensor:
        return F.gelu(F.linear(x, weight, bias))

    figures = {
        f"{name}, mean difference from {how}": float(
            (work() - F.gelu(exact, approximate=how))[differ].abs().mean()
        )
        for name, work in (("fused", fused), ("two", separate))
        for how in ("none", "tanh")
    }
    between = F.gelu(exact) - F.gelu(exact, approximate="tanh")
    figures["between the two functions"] = float(between[differ].abs().mean())
    figures |= {f"{name}, us": call_us(work) for name, work in (("fused", fused), ("two", separate))}
    log.write("gelu in the product", **figures)


def _random(*size: int) -> Tensor:
    return torch.randn(size, device="cuda", dtype=torch.float16)
