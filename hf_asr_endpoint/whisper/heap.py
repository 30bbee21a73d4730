"""The process's heap: a window's activations are many and large, and glibc keeps what they leave in pieces."""

from __future__ import annotations

import contextlib
import ctypes

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
