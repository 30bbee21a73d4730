"""Compiles kernels with numba for this processor, or loads the code that an earlier process compiled."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
from numba import cfunc, njit, types
from numba.core.bytecode import FunctionIdentity
from numba.core.caching import FunctionCache
from numba.core.ccallback import CFunc
from numba.core.sigutils import normalize_signature

# numba names machine code by a function's name and a number, which counts from 1 in every process. Where code that
# several processes compiled meets in one, a call would reach the first of the functions with a name.
FunctionIdentity._unique_ids = itertools.count(secrets.randbits(48))

_OPTIONS: dict[str, Any] = {"fastmath": True, "error_model": "numpy", "boundscheck": False}
_DATA, _THREAD_NUMBER = types.CPointer(types.int64), types.CPointer(types.int32)
_SIGNATURES = {1: types.void(_DATA), 3: types.void(_THREAD_NUMBER, _THREAD_NUMBER, _DATA)}
"""By the number of arguments: of a kernel, and of one as a microtask."""


def compiled(function: Callable[..., Any]) -> Any:
    """Decorate a function that kernels call. It is compiled with the first kernel that calls it."""
    return njit(forceinline=True, **_OPTIONS)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Decorate a function that becomes part of its callers' loops, so that LLVM vectorises them."""
    return njit(inline="always", **_OPTIONS)(function)


def as_microtask(function: Callable[[Any], None]) -> Callable[[Any, Any, Any], None]:
    """Return a kernel as what LLVM's compilers call a microtask: its data comes after two thread numbers."""
    kernel = compiled(function)

    def microtask(_global_number: Any, _bound_number: Any, data: Any) -> None:
        kernel(data)

    microtask.__qualname__ = f"{function.__qualname__}.microtask"  # numba's cache finds it by this name.
    return microtask


def compile_kernel(function: Callable[..., None], *, folder: Path | None) -> Any:
    """Return a kernel as a C function of its data, `void (int64_t *)`, or as a microtask.

    folder: keeps compiled code of one release and level, all that the kernel calls included. Without one, or when
    writing to it fails, each process compiles.
    """
    signature = _SIGNATURES[function.__code__.co_argcount]
    if folder is not None:
        try:
            with _cache_in(folder):
                kernel = _CachedKernel(
                    function, normalize_signature(signature), {}, {"nopython": True, **_OPTIONS}
                )
                kernel.enable_caching()
                kernel.compile()
                return kernel
        except OSError:  # such as a full disk
            pass
    return cfunc(signature, nopython=True, **_OPTIONS)(function)


class _CachedKernel(CFunc):
    """A C function with a cache."""

    def enable_caching(self) -> None:
        self._cache = _KernelCache(self.__wrapped__)


class _KernelCache(FunctionCache):  # type: ignore[misc]  # numba has no annotations.
    """Finds a kernel by its name and the processor alone.

    numba's own key has the contents of a function's closure as well, which for intrinsics differ in every process.
    The folder stands for what they are made of: the release and the level.
    """

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return sig, codegen.magic_tuple()


@contextmanager
def _cache_in(folder: Path) -> Iterator[None]:
    """numba takes the folder from its configuration when it wraps a function."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before
