"""The process that the model runs in: the symbols of its libraries, and glibc's heap.

Imports no torch, because the heap is set up before torch is imported.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # glibc's malloc.h
MAX_ARENAS = 2  # each additional arena keeps tens of MB
KEPT_BYTES = 64 << 20  # at the end of a heap: the activations of a window
OWN_MAPPING_BYTES = 32 << 20  # glibc's largest; what is larger goes back to the system as soon as it is freed

SWITCH_INTERVAL_S = 0.0005  # Python's own is 0.005


def process_symbols() -> ctypes.CDLL | None:
    """Return the symbols of all libraries that the process has loaded; None on Windows, which has no such list."""
    return None if sys.platform == "win32" else ctypes.CDLL(None)


def limit_malloc_arenas() -> None:
    """Make all threads share MAX_ARENAS heaps. Call it before threads start. Does nothing without glibc."""
    _call("mallopt", M_ARENA_MAX, MAX_ARENAS)


def keep_freed_memory() -> None:
    """Keep up to KEPT_BYTES of freed memory, until the next `trim_heap`. Does nothing without glibc.

    The system clears each page that it gives out. Without this it did so for nearly all activations of each
    window, and took an eighth of the time (a window of 30 s, Sapphire Rapids).
    """
    _call("mallopt", M_TRIM_THRESHOLD, KEPT_BYTES)
    _call("mallopt", M_MMAP_THRESHOLD, OWN_MAPPING_BYTES)


def trim_heap() -> None:
    """Give free memory back to the system; takes some milliseconds. Does nothing without glibc.

    A window's activations are many and large, and glibc keeps the memory that they leave free.
    """
    _call("malloc_trim", 0)


def _call(name: str, *args: int) -> None:
    function = getattr(process_symbols(), name, None)
    if function is not None:
        function(*args)


def switch_threads_often() -> None:
    """Let Python's threads take the interpreter from each other after half a millisecond instead of five.

    The engine asks for it some hundred times a step; a thread that prepares audio made it wait 5 ms at a time.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
