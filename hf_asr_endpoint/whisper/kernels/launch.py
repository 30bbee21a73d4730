"""Runs compiled kernels on the threads that torch's own operators run on."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from hf_asr_endpoint.whisper.kernels.compile import as_microtask, compile_kernel
from hf_asr_endpoint.whisper.kernels.layout import COUNTER_OFFSET
from hf_asr_endpoint.whisper.kernels.openmp import find_openmp
from hf_asr_endpoint.whisper.threads import N_CORES


class ParallelKernel:
    """A compiled kernel. COUNTER_OFFSET words after its data is a counter: with it threads share out the tasks."""

    def __init__(self, function: Callable[[Any], None], *, folder: Path | None) -> None:
        """folder: see `compile_kernel`."""
        openmp = find_openmp()
        assert openmp is not None, "levels() offers no level without it"
        task = as_microtask(function) if openmp.takes_microtasks else function
        self._compiled, self._fork = compile_kernel(task, folder=folder), openmp.fork
        self.address: int = self._compiled.address

    def __call__(self, data: Sequence[int]) -> None:
        words = (ctypes.c_int64 * (len(data) + COUNTER_OFFSET + 1))(*data)
        self.run_at(ctypes.addressof(words))

    def run_at(self, data_at: int) -> None:
        # Scratch memory is there for N_CORES threads. A thread that uses fewer of torch's threads keeps to them.
        self._fork(self.address, data_at, min(torch.get_num_threads(), N_CORES))
