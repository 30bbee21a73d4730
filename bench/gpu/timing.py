"""Measures work on a device that runs asynchronously: the device's time, and the host's time to enqueue it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

N_WARM_UP = 3
LIMIT_S = 3.0  # for one figure; slow work is repeated fewer times


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Medians, in milliseconds.

    wall_ms: until the device has finished. device_ms: between two events on the device, around the work; None for
    the CPU. host_ms: until the call returns. n: repetitions.
    """

    wall_ms: float
    device_ms: float | None
    host_ms: float
    n: int

    @property
    def figures(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


def synchronize(device: str) -> None:
    """Wait until the device has finished all work."""
    if device == "cuda":
        torch.cuda.synchronize()


def measure(work: Callable[[], Any], *, device: str, n: int = 20, n_warm_up: int = N_WARM_UP) -> Times:
    """Repeat some work, and start each repetition on an idle device."""
    for _ in range(n_warm_up):
        work()
    walls, hosts, devices = [], [], []
    began = time.perf_counter()
    for _ in range(n):
        synchronize(device)
        events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if device == "cuda" else []
        started = time.perf_counter()
        if events:
            events[0].record()
        work()
        if events:
            events[1].record()
        returned = time.perf_counter()
        synchronize(device)
        walls.append(time.perf_counter() - started)
        hosts.append(returned - started)
        if events:
            devices.append(events[0].elapsed_time(events[1]))
        if time.perf_counter() - began > LIMIT_S:
            break
    return Times(
        wall_ms=1e3 * statistics.median(walls),
        device_ms=statistics.median(devices) if devices else None,
        host_ms=1e3 * statistics.median(hosts),
        n=len(walls),
    )


def flop_rate(times: Times, flops: float) -> dict[str, float]:
    """Return the rate of floating-point operations. flops: operations in one repetition."""
    return {"tflop_per_s": flops / (times.device_ms or times.wall_ms) / 1e9}
