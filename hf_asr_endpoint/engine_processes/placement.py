"""Which engines there are, and what each one's process may see: its GPU, or its share of the cores."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.setting_types import Device, is_named_gpu
from hf_asr_endpoint.whisper.cores import count_cores, list_cores

VISIBLE = "CUDA_VISIBLE_DEVICES"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that say how many compute together; the first one is the one that is set here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one engine is. name: of its device, with a number where several have the same.

    device: as its process calls it. variables: of its process, from before torch is imported. cpus: logical
    processors that the process keeps to; empty: all.
    """

    name: str
    device: Device
    variables: Mapping[str, str]
    cpus: frozenset[int] = frozenset()

    def enter(self) -> None:
        """Make this process see what its engine may use. Called before torch is imported."""
        os.environ.update(self.variables)
        if self.cpus and sys.platform == "linux":
            os.sched_setaffinity(0, self.cpus)


def name_devices(devices: Sequence[str], *, n_gpus: int) -> tuple[str, ...]:
    """Return the devices that get a process each; none where one engine in this process will do.

    devices: as in the setting. n_gpus: that CUDA shows. Raises ModelUnavailable for a number that no GPU has.
    """
    if devices[0] == "auto":
        return tuple(f"cuda:{index}" for index in range(n_gpus)) if n_gpus > 1 else ()
    for device in devices:
        kind, _, index = device.partition(":")
        if kind == "cuda" and index and int(index) >= n_gpus:
            shown = ", ".join(f"cuda:{one}" for one in range(n_gpus)) or "cpu"
            raise ModelUnavailable(f"device {device!r} is not available; allowed here: auto, {shown}")
    return tuple(devices) if len(devices) > 1 or is_named_gpu(devices[0]) else ()


def place_engines(
    devices: Sequence[str],
    *,
    environ: Mapping[str, str] = os.environ,
    cores: Sequence[frozenset[int]] | None = None,
    n_cores: int | None = None,
) -> tuple[Place, ...]:
    """Return a place for each device. Engines on CPUs get neighbouring cores, and all get a share of threads.

    environ: of this process, which decides where it says a number of threads, and which GPUs have numbers.
    cores: the logical processors of each core that this process may use. n_cores: that it may use in all, fewer
    where a quota says so.
    """
    if cores is None:
        cores = list_cores(Path("/"))
    n_cores = n_cores or count_cores() or os.cpu_count() or 1
    n = len(devices)
    threads = {} if any(map(environ.get, THREADS)) else {THREADS[0]: str(max(1, n_cores // n))}
    if devices[0] != "cpu":
        return tuple(
            Place(name=device, device="cuda", variables={**threads, VISIBLE: visible_gpu(device, environ)})
            for device in devices
        )
    return tuple(
        Place(name=f"cpu-{index}", device="cpu", variables=threads, cpus=share_of(cores, index=index, n=n))
        for index in range(n)
    )


def visible_gpu(device: str, environ: Mapping[str, str]) -> str:
    """Return how CUDA is told to show one GPU alone. Where a process sees some of them, numbers count those."""
    kind, _, index = device.partition(":")
    if kind != "cuda":
        return device
    shown = environ.get(VISIBLE)
    return index if shown is None else shown.split(",")[int(index)].strip()


def share_of(cores: Sequence[frozenset[int]], *, index: int, n: int) -> frozenset[int]:
    """Return the logical processors of the engine with an index, of n: some cores in a row, or one of too few."""
    if len(cores) < n:
        return cores[index % len(cores)] if cores else frozenset()
    begin, end = index * len(cores) // n, (index + 1) * len(cores) // n
    return frozenset().union(*cores[begin:end])
