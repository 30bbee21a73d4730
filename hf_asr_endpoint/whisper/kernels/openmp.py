"""The OpenMP runtime whose threads torch's own operators run on, and kernels with them.

A second team of threads would compete with torch's for the cores. On Linux the runtime is GNU's, on macOS LLVM's,
which has GNU's entry points as well, and on Windows Intel's, which has its own alone. Imports no numba.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from functools import cache
from pathlib import Path
from typing import Protocol

import torch

from hf_asr_endpoint.whisper.process import process_symbols

THREAD_NUMBER, THREAD_COUNT = "omp_get_thread_num", "omp_get_num_threads"
"""Functions of OpenMP that kernels call."""

BARRIER = "GOMP_barrier"
"""What a program calls between two kernels, where there is one: it returns once all threads have called it."""

_FORK, _GNU_FORK = "__kmpc_fork_call", "GOMP_parallel"
_MADE_BY_COMPILER = 2  # KMP_IDENT_KMPC of LLVM's kmp.h
_NO_POSITION = b";unknown;unknown;0;0;;"  # in the form that LLVM's runtime parses: file, function, line, column


class OpenMP(Protocol):
    """A runtime.

    takes_microtasks: whether it calls a function with two addresses of thread numbers before its data.
    has_barrier: whether it has BARRIER.
    """

    takes_microtasks: bool
    has_barrier: bool

    def address(self, name: str) -> int:
        """Return the address of THREAD_NUMBER or THREAD_COUNT, or of BARRIER."""
        ...

    def fork(self, function: int, data_at: int, n_threads: int) -> None:
        """Call the function at an address, with that of its data, on n_threads; return when all are done."""
        ...


class GnuOpenMP:
    """A runtime with GNU's documented entry point, which takes a function, its data and a number of threads."""

    takes_microtasks = False
    has_barrier = True

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._fork = library[_GNU_FORK]
        self._fork.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        self._fork.restype = None

    def address(self, name: str) -> int:
        return _address(self._library, name)

    def fork(self, function: int, data_at: int, n_threads: int) -> None:
        self._fork(function, data_at, n_threads, 0)


class IntelOpenMP:
    """Intel's runtime by the entry points that LLVM's compilers use (openmp/runtime/src/kmp_csupport.cpp)."""

    takes_microtasks = True
    has_barrier = False

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._position = _Position(0, _MADE_BY_COMPILER, 0, 0, _NO_POSITION)
        at, integer = ctypes.POINTER(_Position), ctypes.c_int32
        self._fork = library[_FORK]
        self._fork.argtypes, self._fork.restype = (at, integer, ctypes.c_void_p, ctypes.c_void_p), None
        self._thread = library["__kmpc_global_thread_num"]
        self._thread.argtypes, self._thread.restype = (at,), integer
        self._set_count = library["__kmpc_push_num_threads"]
        self._set_count.argtypes, self._set_count.restype = (at, integer, integer), None

    def address(self, name: str) -> int:
        return _address(self._library, name)

    def fork(self, function: int, data_at: int, n_threads: int) -> None:
        self._set_count(self._position, self._thread(self._position), n_threads)  # for the next fork alone
        self._fork(self._position, 1, function, ctypes.c_void_p(data_at))


@cache
def find_openmp() -> OpenMP | None:
    """Return the runtime of torch's threads; None where these are of another kind."""
    library = _torchs_library()
    if library is None or not hasattr(library, THREAD_NUMBER):
        return None
    if hasattr(library, _GNU_FORK):
        return GnuOpenMP(library)
    # Its entry point takes a variable number of arguments, which Apple's own processors pass in another way.
    return IntelOpenMP(library) if hasattr(library, _FORK) and sys.platform != "darwin" else None


def has_barrier() -> bool:
    """Return whether kernels can wait for one another's threads."""
    openmp = find_openmp()
    return openmp is not None and openmp.has_barrier


def _torchs_library() -> ctypes.CDLL | None:
    """Return the library that has the runtime: torch has loaded it, so this is the same one."""
    if sys.platform == "linux":
        # torch's builds for x86 publish the runtime's symbols themselves; those for Arm do not.
        with contextlib.suppress(OSError):  # The process has not loaded it under this name.
            ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD | os.RTLD_GLOBAL)
        return process_symbols()
    name = {"darwin": "libomp.dylib", "win32": "libiomp5md.dll"}.get(sys.platform)
    if name is None:
        return None
    beside_torch = Path(torch.__file__).parent / "lib" / name
    with contextlib.suppress(OSError):
        return ctypes.CDLL(str(beside_torch) if beside_torch.exists() else name)
    return None


class _Position(ctypes.Structure):
    """`ident_t` of LLVM's kmp.h: where in a program a call is."""

    _fields_ = (
        ("reserved_1", ctypes.c_int32),
        ("flags", ctypes.c_int32),
        ("reserved_2", ctypes.c_int32),
        ("reserved_3", ctypes.c_int32),
        ("source", ctypes.c_char_p),
    )


def _address(library: ctypes.CDLL, name: str) -> int:
    address = ctypes.cast(library[name], ctypes.c_void_p).value
    assert address is not None
    return address
