"""The machine that models run on: processor, cores, devices, as this package uses them. For people to read."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from hf_asr_endpoint.whisper.checkpoint.loader import available_devices
from hf_asr_endpoint.whisper.cores import count_physical_cores, cpu_quotas
from hf_asr_endpoint.whisper.kernels.processor import levels
from hf_asr_endpoint.whisper.threads import N_CORES

NVIDIA_DRIVER = Path("/dev/nvidiactl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """levels: of our kernels, the fastest first. devices: the one that "auto" means first.

    n_logical, n_cores: that the process may use. quota: of its control groups, in cores; None: none. n_threads:
    that compute together. forced_threads: the variable that sets them. has_unused_gpu: torch cannot use its GPU.
    """

    processor: str
    torch: str
    levels: tuple[str, ...]
    devices: tuple[str, ...]
    n_logical: int
    n_cores: int
    quota: float | None
    n_threads: int
    forced_threads: str | None
    has_unused_gpu: bool


def describe_machine() -> Machine:
    """Return what is known of this machine."""
    devices = tuple(available_devices())
    is_linux = sys.platform == "linux"
    affinity = os.sched_getaffinity(0) if is_linux else set(range(os.cpu_count() or 1))
    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    return Machine(
        processor=_processor_name(),
        torch=torch.__version__,
        levels=levels(),
        devices=devices,
        n_logical=len(affinity),
        n_cores=count_physical_cores(affinity, Path("/")) if is_linux else len(affinity),
        quota=min(cpu_quotas(Path("/")), default=None) if is_linux else None,
        n_threads=N_CORES,
        forced_threads=next((name for name in variables if os.environ.get(name)), None),
        has_unused_gpu="cuda" not in devices and NVIDIA_DRIVER.exists(),
    )


def _processor_name() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):  # Arm's have none.
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
