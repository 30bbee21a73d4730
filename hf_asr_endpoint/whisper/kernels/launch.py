"""Runs compiled kernels on the threads that torch's own operators run on."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from hf_asr_endpoint.whisper.kernels.compile import as_microtask, compile_kernel
from hf_asr_endpoint.whisper.kernels.layout import COUNTER_OFFSET, Kernel
from hf_asr_endpoint.whisper.kernels.openmp import find_openmp
from hf_asr_endpoint.whisper.threads import N_CORES


def parallel_kernel(function: Callable[[Any], None], *, folder: Path | None) -> Kernel:
    """Compile a kernel and return what runs it on torch's threads. folder: see `compile_kernel`.

    COUNTER_OFFSET words after the data is a counter, with which the threads share out the tasks.
    """
    openmp = find_openmp()
    assert openmp is not None, "levels() offers no level without it"
    task = as_microtask(function) if openmp.takes_microtasks else function
    compiled, fork = compile_kernel(task, folder=folder), openmp.fork

    def run(data: Sequence[int]) -> None:
        # Scratch memory is there for N_CORES threads. A thread that uses fewer of torch's threads keeps to them.
        n_threads = min(torch.get_num_threads(), N_CORES)
        fork(compiled.address, (ctypes.c_int64 * (len(data) + COUNTER_OFFSET + 1))(*data), n_threads)

    return run
