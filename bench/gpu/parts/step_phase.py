"""The whole greedy decode step as a CUDA graph: time, equality with eager steps, and no synchronization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from bench.gpu.parts.measure import captured, release
from bench.gpu.parts.scenes import Scene, random_scene, shape_weights, step_bytes, step_operations
from bench.gpu.running import Check, Log
from bench.gpu.shapes import LARGE, SMALL, TINY, TURBO, Shape
from bench.gpu.synchronizations import profile_device
from bench.gpu.timing import measure
from hf_asr_endpoint.whisper.device.operations import HAS_TRITON, TritonOperations
from hf_asr_endpoint.whisper.device.row_states import RowStates
from hf_asr_endpoint.whisper.device.step import DecodeStep

ROWS = (1, 4, 16, 64, 128, 256)
N_UNSYNCHRONIZED = 50
MIXED = (300, 500, 750, 1_000, 1_250, 1_500)
FORMS = ("triton", "torch") if HAS_TRITON else ("torch",)
N_BEFORE = 60  # tokens in the caches when a step is measured
N_REPLAYS = 30


@torch.inference_mode()
def run(check: Check, log: Log) -> None:
    for shape in (SMALL,) if check.is_small else (TURBO, LARGE, TINY):
        weights = shape_weights(shape, device=check.device)
        for n_rows in (1, 3) if check.is_small else ROWS:
            with log.part(f"{shape.name}, {n_rows} rows"):
                scene = random_scene(shape, weights, n_rows=n_rows, device=check.device, lengths=(1_500,))
                for form in FORMS:
                    with log.part(f"{shape.name}, {n_rows} rows, {form}"):
                        measure_form(check, log, shape, scene, form, n_rows=n_rows)
                if HAS_TRITON and not check.is_small and shape is not TINY and n_rows > 1:
                    measure_mixed(check, log, shape, scene, n_rows=n_rows)
                del scene
            release(check)
        del weights
        release(check)


def measure_form(check: Check, log: Log, shape: Shape, scene: Scene, form: str, *, n_rows: int) -> None:
    """Measure one form's step as a graph and eagerly, and check that both compute the same."""
    name = f"{shape.name}, {n_rows} rows, {form}"
    step = scene.step(step_operations(form))
    prepare(scene.states)
    before = scene.states.clone()
    step()
    figures: dict[str, Any] = {}
    if check.device == "cuda":
        scene.states.copy_(before)
        graph = captured(step)
        figures["graph_equals_eager"] = compare_runs(step, graph, scene.states, before)
        scene.states.copy_(before)
        replays = measure(graph, device="cuda", n=N_REPLAYS)
        figures["graph_ms"] = ms = replays.device_ms or 0.0
        figures["host_ms_a_replay"] = replays.host_ms
        figures["gb_per_s"] = step_bytes(scene.weights, scene.states.length.tolist()) / ms / 1e6
        figures["unsynchronized_steps"] = run_unsynchronized(graph, step)
        if form == "triton" and n_rows in (1, 64) and shape is not TINY:
            log.write(f"{name}, profile", **profile_device(graph, "cuda"))
        if form == "triton" and n_rows <= TritonOperations.max_fused_rows:
            scene.states.copy_(before)
            figures["graph_ms_without_fused_rows"] = measure_unfused(scene)
    scene.states.copy_(before)
    figures["eager_ms"] = measure(step, device=check.device, n=10 if check.device == "cuda" else 2).wall_ms
    log.write(name, **figures)


def prepare(state: RowStates) -> None:
    """Put rows behind N_BEFORE tokens."""
    state.position.fill_(N_BEFORE + 3)
    state.n_sampled.fill_(N_BEFORE)
    state.token.fill_(1_000)


def compare_runs(step: DecodeStep, graph: Callable[[], None], state: RowStates, before: RowStates) -> bool:
    """Return whether ten eager steps and ten replays give equal states and results, bit for bit."""
    ends = []
    for work in (step, graph):
        state.copy_(before)
        results = []
        for _ in range(10):
            work()
            results.append(state.results.clone())
        ends.append(torch.cat([*(each.flatten() for each in results), state.numbers.flatten().float()]))
    return torch.equal(*ends)


def run_unsynchronized(graph: Callable[[], None], step: DecodeStep) -> str:
    """Run replays and eager steps in the mode that raises when the host would wait."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(N_UNSYNCHRONIZED):
            graph()
        for _ in range(3):
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()
    return f"{N_UNSYNCHRONIZED} replays, 3 eager"


def measure_unfused(scene: Scene) -> float:
    """Return a graph's time with torch's products for few rows, too."""

    class Unfused(TritonOperations):
        max_fused_rows = 0

    return measure(captured(scene.step(Unfused())), device="cuda", n=N_REPLAYS).device_ms or 0.0


def measure_mixed(check: Check, log: Log, shape: Shape, scene: Scene, *, n_rows: int) -> None:
    lengths = [MIXED[row % len(MIXED)] for row in range(n_rows)]
    scene.states.length.copy_(torch.tensor(lengths, dtype=torch.int32))
    prepare(scene.states)
    graph = captured(scene.step(TritonOperations()))
    prepare(scene.states)
    ms = measure(graph, device=check.device, n=N_REPLAYS).device_ms or 0.0
    gb_per_s = step_bytes(scene.weights, lengths) / ms / 1e6
    log.write(f"{shape.name}, {n_rows} rows of mixed lengths, triton", graph_ms=ms, gb_per_s=gb_per_s)
