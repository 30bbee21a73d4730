"""Runs compiled kernels on the threads that torch's own operators run on.

Those are GNU OpenMP's threads; the documented entry point `GOMP_parallel` takes a function, its data and a number
of threads. A second team of threads would compete with torch's for the cores.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from hf_asr_endpoint.whisper.kernels.compile import compile_kernel
from hf_asr_endpoint.whisper.kernels.layout import COUNTER_OFFSET, Kernel
from hf_asr_endpoint.whisper.process import process_symbols
from hf_asr_endpoint.whisper.threads import N_CORES


def parallel_kernel(function: Callable[[Any], None], *, folder: Path | None) -> Kernel:
    """Compile a kernel and return what runs it on torch's threads. folder: see `compile_kernel`.

    COUNTER_OFFSET words after the data is a counter, with which the threads share out the tasks.
    """
    compiled = compile_kernel(function, folder=folder)
    symbols = process_symbols()
    assert symbols is not None, "kernels need GNU OpenMP, which Windows does not have"
    parallel = symbols.GOMP_parallel
    parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    parallel.restype = None

    def run(data: Sequence[int]) -> None:
        # Scratch memory is there for N_CORES threads. A thread that uses fewer of torch's threads keeps to them.
        n_threads = min(torch.get_num_threads(), N_CORES)
        parallel(compiled.address, (ctypes.c_int64 * (len(data) + COUNTER_OFFSET + 1))(*data), n_threads, 0)

    return run
