"""An encoder of several windows at once: time and accuracy of the ways to compute its attention and its GELU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bench.gpu import internals
from bench.gpu.parts.hidden_layers import tanh_hidden
from bench.gpu.parts.measure import captured, release, repeated_us
from bench.gpu.parts.ragged_attention import ATTENTIONS
from bench.gpu.parts.scenes import step_operations
from bench.gpu.running import Check, Log
from bench.gpu.shapes import SMALL, TURBO, Shape, encoder_flops, random_mel, random_tensors
from bench.gpu.timing import flop_rate, measure
from hf_asr_endpoint.whisper.device.operations import HAS_TRITON, StepOperations
from hf_asr_endpoint.whisper.device.ragged_encoder import (
    HiddenLayer,
    RaggedEncoder,
    WindowBounds,
    exact_hidden,
    window_ends,
)
from hf_asr_endpoint.whisper.device.weights import EncoderWeights, encoder_weights

POSITIONS = (450, 750, 1_500)
COUNTS = (1, 4, 8, 16)
MIXED = (450, 750, 1_500, 600, 1_200, 900, 450, 1_500)
GELU_BLOCKS = ((128, 256, 64), (128, 128, 64), (256, 128, 64))


@torch.inference_mode()
def run(check: Check, log: Log) -> None:
    shape = SMALL if check.is_small else TURBO
    dtype = torch.float16 if check.device == "cuda" else torch.float32
    weights = encoder_weights(random_tensors(shape, device=check.device, dtype=dtype), shape.config)
    with log.part("single operations"):
        measure_operations(check, log, weights)
    with log.part("correct"):
        compare_with_engine(check, log, shape, weights, dtype)
    fused = best_hidden(check)
    for n_positions in POSITIONS[:1] if check.is_small else POSITIONS:
        for n_windows in COUNTS[:2] if check.is_small else COUNTS:
            with log.part(f"{n_windows} windows of {n_positions}"):
                measure_windows(check, log, shape, weights, [n_positions] * n_windows, fused=fused)
    with log.part("mixed"):
        measure_windows(check, log, shape, weights, MIXED[:3] if check.is_small else MIXED, fused=fused)
    release(check)


def best_hidden(check: Check) -> dict[str, HiddenLayer]:
    """Return the ways to compute the feed-forward's first half, by name."""
    found: dict[str, HiddenLayer] = {"exact": exact_hidden}
    if check.device == "cuda":
        found["tanh"] = tanh_hidden
        if HAS_TRITON:
            from bench.gpu.parts.gelu_kernel import linear_gelu

            found["triton"] = linear_gelu
    return found


def fastest_operations(check: Check) -> StepOperations:
    return step_operations("triton" if HAS_TRITON and check.device == "cuda" else "torch")


def window_bounds(lengths: Sequence[int], *, device: str) -> WindowBounds:
    return WindowBounds(lengths=tuple(lengths), ends=window_ends(lengths).to(device))


def attention_names(check: Check) -> Sequence[str]:
    return tuple(ATTENTIONS) if check.device == "cuda" else ("by window",)


def measure_operations(check: Check, log: Log, weights: EncoderWeights) -> None:
    """Measure one layer's feed-forward and attention for 8 windows in each form."""
    layer, n_windows = weights.layers[0], 2 if check.is_small else 8
    n_positions = 60 if check.is_small else 1_500
    x = torch.randn(
        (n_windows * n_positions, weights.positions.shape[1]), device=check.device, dtype=weights.positions.dtype
    )
    found: dict[str, Any] = {}
    for name, hidden in best_hidden(check).items():
        with log.part(f"hidden layer, {name}"):
            found[f"hidden layer, {name}, us"] = repeated_us([partial(hidden, x, layer.hidden)] * 4, check)
    if HAS_TRITON and check.device == "cuda":
        from bench.gpu.parts.gelu_kernel import linear_gelu

        for block in GELU_BLOCKS:
            with log.part(f"hidden layer, triton {block}"):
                us = repeated_us([partial(linear_gelu, x, layer.hidden, block=block)] * 4, check)
                found[f"hidden layer, triton {block}, us"] = us
        expected = exact_hidden(x.double(), (layer.hidden[0].double(), layer.hidden[1].double()))
        for name, hidden in best_hidden(check).items():
            error = (hidden(x, layer.hidden).double() - expected).norm() / expected.norm()
            found[f"hidden layer, {name}, relative error"] = float(error)
    heads = torch.randn(
        (len(x), 3, weights.n_heads, x.shape[1] // weights.n_heads), device=check.device, dtype=x.dtype
    )
    heads[:, 0] *= heads.shape[3] ** -0.5
    for kind, lengths in (("equal", [n_positions] * n_windows), ("unequal", MIXED[:n_windows])):
        bounds = window_bounds([min(length, n_positions) for length in lengths], device=check.device)
        for name in attention_names(check):
            with log.part(f"attention, {kind}, {name}"):
                part = heads[: sum(bounds.lengths)]
                us = repeated_us([partial(ATTENTIONS[name], part, bounds)] * 4, check)
                found[f"attention, {kind} windows, {name}, us"] = us
    log.write("operations of one layer", **found)


def compare_with_engine(check: Check, log: Log, shape: Shape, weights: EncoderWeights, dtype: torch.dtype) -> None:
    """Compare all forms with the engine's encoder, and both with the engine's in float32."""
    lengths = (450, 200, 1_500)
    mels = [random_mel(shape, n_positions=length, seed=seed) for seed, length in enumerate(lengths)]
    bounds = window_bounds(lengths, device=check.device)
    exact = internals.random_encoder(shape, device=check.device, dtype=torch.float32)
    expected = torch.cat([features for mel in mels for features in exact([mel.to(check.device)])])
    del exact
    engine = internals.random_encoder(shape, device=check.device, dtype=dtype)
    inputs = [mel.to(check.device, dtype) for mel in mels]
    alone = torch.cat([features for mel in inputs for features in engine([mel])])
    found = {"engine, relative error": _error(alone, expected)}
    del engine
    for name in attention_names(check):
        for hidden_name, hidden in best_hidden(check).items():
            with log.part(f"{name}, {hidden_name}"):
                encoder = RaggedEncoder(
                    weights, attention=ATTENTIONS[name], hidden=hidden, add_norm=fastest_operations(check).add_norm
                )
                found[f"{name}, {hidden_name}, relative error"] = _error(encoder(inputs, bounds), expected)
    log.write("relative errors against float32", **found)


def _error(found: Tensor, expected: Tensor) -> float:
    return float((found.float() - expected).norm() / expected.norm())


def measure_windows(
    check: Check, log: Log, shape: Shape, weights: EncoderWeights, lengths: Sequence[int], *,
    fused: dict[str, HiddenLayer],
) -> None:  # fmt: skip
    """Measure encoding as a graph and eagerly, in each form."""
    mels = [
        random_mel(shape, n_positions=length, seed=seed).to(check.device, weights.positions.dtype)
        for seed, length in enumerate(lengths)
    ]
    bounds = window_bounds(lengths, device=check.device)
    kind = f"windows of {lengths[0]}" if len(set(lengths)) == 1 else "windows of mixed lengths"
    flops = sum(encoder_flops(shape, length) for length in lengths)
    is_mixed = len(set(lengths)) > 1
    forms = [("by window", "exact")]
    if check.device == "cuda":
        best = "flash" if is_mixed else "by window"
        forms += [(best, "triton"), (best, "tanh"), ("flash", "exact"), ("cudnn", "exact")]
    for attention, hidden in forms:
        name = f"{len(lengths)} {kind}, {attention}, {hidden}"
        if hidden not in fused:
            continue
        with log.part(name):
            encoder = RaggedEncoder(
                weights,
                attention=ATTENTIONS[attention],
                hidden=fused[hidden],
                add_norm=fastest_operations(check).add_norm,
            )
            figures = _measure_encoder(check, encoder, mels, bounds, flops)
            log.write(name, **figures)


def _measure_encoder(
    check: Check, encoder: RaggedEncoder, mels: Sequence[Tensor], bounds: WindowBounds, flops: float
) -> dict[str, Any]:
    work: Callable[[], Tensor] = partial(encoder, mels, bounds)
    n = 5 if check.device == "cuda" else 1
    eager = measure(work, device=check.device, n=n, n_warm_up=1)
    figures: dict[str, Any] = {"eager_ms_a_window": eager.wall_ms / len(mels)}
    if check.device == "cuda":
        times = measure(captured(work), device="cuda", n=n)
        figures["ms_a_window"] = (times.device_ms or 0.0) / len(mels)
        figures |= flop_rate(times, flops)
    return figures
