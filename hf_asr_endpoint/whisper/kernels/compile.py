"""How the kernels are compiled, and where what was compiled is kept.

numba looks at a function's own file to see whether it has changed, not at those that it imports. So the folder
is named after all of the kernels' files, and a release that changes any of them compiles again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba import cfunc, njit, types

from hf_asr_endpoint.user_folders import cache_folder

_OPTIONS: dict[str, Any] = {"fastmath": True, "error_model": "numpy", "boundscheck": False}


def compiled(function: Callable[..., Any]) -> Any:
    """Decorate a function that kernels call."""
    with _kept() as kept:
        return njit(**_OPTIONS, **kept)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Decorate a function that is to become part of its callers' loops."""
    with _kept() as kept:
        return njit(inline="always", **_OPTIONS, **kept)(function)


def compiled_kernel(kernel: Callable[[Any], None]) -> Any:
    """Compile a kernel, given its data as 64-bit integers, or take what was compiled before."""
    with _kept() as kept:
        return cfunc(types.void(types.CPointer(types.int64)), nopython=True, **_OPTIONS, **kept)(kernel)


@contextmanager
def _kept() -> Iterator[dict[str, Any]]:
    """Have numba keep what is compiled meanwhile in a folder of ours, if there may be one."""
    folder = _folder()
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = "" if folder is None else str(folder)
    try:
        yield {"cache": folder is not None}
    finally:
        numba.config.CACHE_DIR = before


@cache
def _folder() -> Path | None:
    """Return the folder in the user's cache; None where nothing can be written: each start compiles then."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    folder = cache_folder() / f"kernels-{digest.hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None
