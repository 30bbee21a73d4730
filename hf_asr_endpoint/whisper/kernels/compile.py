"""Compiles kernels with numba for this processor, or loads the code that an earlier process compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
from numba import cfunc, njit, types
from numba.core.caching import FunctionCache
from numba.core.ccallback import CFunc
from numba.core.sigutils import normalize_signature

_OPTIONS: dict[str, Any] = {"fastmath": True, "error_model": "numpy", "boundscheck": False}
_SIGNATURE = types.void(types.CPointer(types.int64))


def compiled(function: Callable[..., Any]) -> Any:
    """Decorate a function that kernels call. It is compiled with the first kernel that calls it."""
    return njit(**_OPTIONS)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Decorate a function that becomes part of its callers' loops, so that LLVM vectorises them."""
    return njit(inline="always", **_OPTIONS)(function)


def compile_kernel(function: Callable[[Any], None], *, folder: Path | None) -> Any:
    """Return a kernel as a C function of its data, `void (int64_t *)`.

    folder: keeps compiled code of one release and level, all that the kernel calls included. Without one, or when
    writing to it fails, each process compiles.
    """
    if folder is not None:
        try:
            with _cache_in(folder):
                kernel = _CachedKernel(
                    function, normalize_signature(_SIGNATURE), {}, {"nopython": True, **_OPTIONS}
                )
                kernel.enable_caching()
                kernel.compile()
                return kernel
        except OSError:  # such as a full disk
            pass
    return cfunc(_SIGNATURE, nopython=True, **_OPTIONS)(function)


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
