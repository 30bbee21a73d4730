"""Runs kernels that numba compiles for the processor on the threads that torch's own operators run on.

Those are GNU OpenMP's, whose documented entry point `GOMP_parallel` takes a function, its data and a number of
threads. A second team would fight with the first one for the cores. The data are 64-bit integers, addresses among
them; each kernel says which.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import torch

from hf_asr_endpoint.whisper.kernels.compile import compiled_kernel
from hf_asr_endpoint.whisper.kernels.layout import Kernel
from hf_asr_endpoint.whisper.process import N_CORES


def on_threads(kernel: Callable[[Any], None]) -> Kernel:
    """Compile a kernel, or take what was compiled before."""
    compiled = compiled_kernel(kernel)
    parallel = ctypes.CDLL(None).GOMP_parallel
    parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    parallel.restype = None

    def run(data: Sequence[int]) -> None:
        # No more than there is memory to work in for, and no more than torch would take in this thread.
        n_threads = min(torch.get_num_threads(), N_CORES)
        parallel(compiled.address, (ctypes.c_int64 * len(data))(*data), n_threads, 0)

    return run
