"""Phase 3: the encoder, for one window as it is and as a CUDA graph, and for several windows in one batch.

The engine encodes one window at a time; the batch shows what encoding several together could gain.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.gpu import encoder_operations, internals
from bench.gpu.running import Check, Log
from bench.gpu.shapes import SMALL, TINY, TURBO, Shape, encoder_flops, random_mel
from bench.gpu.timing import capture_graph, flop_rate, measure

POSITIONS = (450, 750, 1_500)
BATCHES = (1, 4, 8, 16)
DTYPES = (torch.float16, torch.bfloat16)


@torch.inference_mode()
def run(check: Check, log: Log) -> None:
    shapes = (SMALL,) if check.is_small else (TURBO, TINY)
    for shape in shapes:
        for dtype in DTYPES if check.device == "cuda" else (torch.float32,):
            name = f"{shape.name}, {_name(dtype)}"
            with log.part(name):
                measure_single_windows(check, log, shape, dtype, name=name)
    if check.device == "cuda":
        with log.part("batches"):
            measure_batches(log, TURBO)
        encoder_operations.run(log, TURBO)


def measure_single_windows(check: Check, log: Log, shape: Shape, dtype: torch.dtype, *, name: str) -> None:
    encoder = internals.random_encoder(shape, device=check.device, dtype=dtype)
    for n_positions in POSITIONS:
        mel = random_mel(shape, n_positions=n_positions).to(check.device, dtype)
        flops = encoder_flops(shape, n_positions)
        times = measure(partial(encoder, [mel]), device=check.device)
        log.write(f"{name}, {n_positions} positions", **flop_rate(times, flops), **times.figures)
        if check.device == "cuda" and dtype == torch.float16:
            with log.part(f"{name}, {n_positions} positions, graph"):
                replay = measure(capture_graph(partial(encoder, [mel])), device=check.device)
                log.write(f"{name}, {n_positions} positions, graph", **flop_rate(replay, flops), **replay.figures)


def measure_batches(log: Log, shape: Shape) -> None:
    """Measure the layers' operations for several whole windows at once. All layers share random weights."""
    config, dtype = shape.config, torch.float16
    d, n_heads = config.d_model, config.encoder_attention_heads

    def make_weight(n_out: int, n_in: int) -> Tensor:
        return torch.randn((n_out, n_in), device="cuda", dtype=dtype) * 0.02

    qkv, out, fc1, fc2 = (
        make_weight(3 * d, d),
        make_weight(d, d),
        make_weight(config.encoder_ffn_dim, d),
        make_weight(d, config.encoder_ffn_dim),
    )
    scale = torch.ones(d, device="cuda", dtype=dtype)

    def run_layer(x: Tensor, n_windows: int) -> Tensor:
        heads = F.linear(F.layer_norm(x, (d,), scale, scale), qkv).view(n_windows, -1, 3, n_heads, 64)
        queries, keys, values = heads.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(queries, keys, values, scale=0.125).transpose(1, 2)
        x = F.linear(attended.reshape(-1, d), out).add_(x)
        return F.linear(F.gelu(F.linear(F.layer_norm(x, (d,), scale, scale), fc1)), fc2).add_(x)

    for n_windows in BATCHES:
        x = torch.randn((n_windows * 1_500, d), device="cuda", dtype=dtype)

        def run_layers(x: Tensor = x, n_windows: int = n_windows) -> Tensor:
            for _ in range(config.encoder_layers):
                x = run_layer(x, n_windows)
            return x

        times = measure(run_layers, device="cuda", n=10)
        flops = n_windows * encoder_flops(shape, 1_500)
        ms = (times.device_ms or 0.0) / n_windows
        log.write(f"{n_windows} windows at once", ms_a_window=ms, **flop_rate(times, flops), **times.figures)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
