"""The process's heap: a window's activations are many and large, and glibc keeps what they leave in pieces."""

from __future__ import annotations

import contextlib
import ctypes


def trim_heap() -> None:
    """Give free memory back to the system; takes some milliseconds. Does nothing without glibc."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
