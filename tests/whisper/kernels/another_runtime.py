"""Runs a kernel on a given OpenMP runtime, in a process of its own, whose torch may have loaded another one.

`OMP_NUM_THREADS=2 python -m tests.whisper.kernels.another_runtime LIBRARY CLASS CACHE_DIR`
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hf_asr_endpoint.whisper.kernels import openmp

RUNTIME = getattr(openmp, sys.argv[2])(ctypes.CDLL(sys.argv[1]))
setattr(openmp, "find_openmp", lambda: RUNTIME)  # noqa: B010 - mypy forbids to assign a function.

# Kernels ask for the runtime when they are imported.
from numba import carray  # noqa: E402

from hf_asr_endpoint.whisper.kernels.launch import ParallelKernel  # noqa: E402
from hf_asr_endpoint.whisper.kernels.program import Call, Program  # noqa: E402
from hf_asr_endpoint.whisper.kernels.run_program import run_program  # noqa: E402
from hf_asr_endpoint.whisper.kernels.scalar import (  # noqa: E402
    pointer,
    tasks_of_thread,
    thread_count,
    thread_number,
)

N_TASKS, MAX_THREADS = 1_000, 8


def count_tasks(data: Any) -> None:
    """Count how often each task was done, and write the number of threads for each thread.

    data: the addresses of both arrays, int64, shape = (N_TASKS,) and (MAX_THREADS,).
    """
    args = carray(data, (2,))
    done = carray(pointer(args[0], np.int64), (N_TASKS,))
    counts = carray(pointer(args[1], np.int64), (MAX_THREADS,))
    counts[thread_number()] = thread_count()
    for task in tasks_of_thread(data, 2, N_TASKS):
        done[task] += 1


def double_counts(data: Any) -> None:
    """Double how often each task was done: in a program, after all threads have counted. data: as above."""
    args = carray(data, (2,))
    done = carray(pointer(args[0], np.int64), (N_TASKS,))
    for task in tasks_of_thread(data, 2, N_TASKS):
        done[N_TASKS - 1 - task] *= 2


def main() -> None:
    folder = Path(sys.argv[3])
    kernel, doubling = (ParallelKernel(function, folder=folder) for function in (count_tasks, double_counts))
    launch = ParallelKernel(run_program, folder=folder) if RUNTIME.has_barrier else None
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        done, counts = np.zeros(N_TASKS, np.int64), np.zeros(MAX_THREADS, np.int64)
        kernel((done.ctypes.data, counts.ctypes.data))
        assert (done == 1).all()
        print(counts.tolist())
        data = (done.ctypes.data, counts.ctypes.data)
        calls = [Call(kernel=each, data=data) for each in (kernel, doubling, kernel, doubling)]
        program = Program(calls, launch=launch)
        for _ in range(3):
            done[:] = 0
            program()
            assert (done == 6).all()


main()
