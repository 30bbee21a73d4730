"""The process's heap: a window's activations are many and large, and glibc keeps what they leave in pieces."""

from __future__ import annotations

import contextlib
import ctypes

import torch

N_CORES = torch.get_num_threads()  # as torch finds it: the cores of this process, or OMP_NUM_THREADS


def use_all_cores() -> None:
    """Give the calling thread all cores.

    A new thread begins with the number that any thread set last. Setting it throws away what oneDNN has
    compiled, so it is set no more than once.
    """
    if torch.get_num_threads() != N_CORES:
        torch.set_num_threads(N_CORES)


def use_one_core() -> None:
    """Keep the calling thread to one core.

    OpenMP counts the team of threads that a thread once had for as long as that thread lives, and with more
    of them than cores it lets none of them wait actively: every step of the engine took half as long again.
    So only the engine's thread has a team.
    """
    torch.set_num_threads(1)


M_ARENA_MAX = -8  # glibc's malloc.h
N_HEAPS = 2  # each further one for threads keeps tens of MB for itself


def limit_heaps() -> None:
    """Have all threads share a few heaps; before they begin. Does nothing without glibc."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, N_HEAPS)


def trim_heap() -> None:
    """Give free memory back to the system; takes some milliseconds. Does nothing without glibc."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
