"""Measures small work on a device by a graph that repeats it, so that the host's part does not count."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Any

import torch

from bench.gpu.running import Check
from bench.gpu.timing import measure
from hf_asr_endpoint.whisper.device.cuda import CudaAccelerator

L2_BYTES = 128e6  # more than any L2 cache holds: rotating over this many bytes measures memory
MAX_WORKS = 32


def captured(work: Callable[[], object]) -> Callable[[], None]:
    """Return a function that replays work on a GPU as a graph."""
    return CudaAccelerator(torch.device("cuda")).capture(lambda: discard(work()))


def discard(result: object) -> None:
    """Take a result that nobody needs."""


def repeated_us(works: Sequence[Callable[[], Any]], check: Check, *, n: int = 7) -> float:
    """Return the time of one work in microseconds, when all run one after another, in a graph on a GPU."""

    def run_all() -> None:
        for work in works:
            work()

    if check.device != "cuda":
        return 1e3 * measure(run_all, device="cpu", n=2, n_warm_up=1).wall_ms / len(works)
    ms = measure(captured(run_all), device="cuda", n=n, n_warm_up=2).device_ms or 0.0
    return 1e3 * ms / len(works)


def release(check: Check) -> None:
    """Give memory back to the device, for the next shape."""
    gc.collect()
    if check.device == "cuda":
        torch.cuda.empty_cache()
