"""Measures small work on a device by a graph that repeats it, so that the host's part does not count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from bench.gpu.proposals.step import capture
from bench.gpu.running import Check
from bench.gpu.timing import measure

L2_BYTES = 128e6  # more than any L2 cache holds: rotating over this many bytes measures memory
MAX_WORKS = 32


def repeated_us(works: Sequence[Callable[[], Any]], check: Check, *, n: int = 7) -> float:
    """Return the time of one work in microseconds, when all run one after another, in a graph on a GPU."""

    def run_all() -> None:
        for work in works:
            work()

    if check.device != "cuda":
        return 1e3 * measure(run_all, device="cpu", n=2, n_warm_up=1).wall_ms / len(works)
    graph = capture(run_all, n_warm_up=1)
    ms = measure(graph.replay, device="cuda", n=n, n_warm_up=2).device_ms or 0.0
    return 1e3 * ms / len(works)


def release(check: Check) -> None:
    """Give memory back to the device, for the next shape."""
    import gc

    gc.collect()
    if check.device == "cuda":
        torch.cuda.empty_cache()
