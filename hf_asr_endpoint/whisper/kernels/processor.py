"""Which levels of kernels this processor has. Imports no numba."""

from __future__ import annotations

import sys
from functools import cache
from typing import Literal, get_args

import torch

from hf_asr_endpoint.whisper.process import process_symbols

Level = Literal["avx512-bf16", "avx512-vnni", "avx2"]
"""The levels that kernels are made for, the fastest first."""

LEVELS: tuple[Level, ...] = get_args(Level)


@cache
def levels() -> tuple[Level, ...]:
    """Return the levels whose instructions the processor reports, the fastest first; none where kernels do not run.

    They run on torch's threads, which must be GNU OpenMP's, and numba must compile for this processor.
    """
    if not (has_gnu_openmp() and _compiles_for_this_processor()):
        return ()
    return tuple(level for level in LEVELS if _has_instructions(level))


def has_gnu_openmp() -> bool:
    """Say whether the process has loaded GNU OpenMP, as torch does on Linux."""
    symbols = process_symbols() if sys.platform == "linux" else None
    return all(hasattr(symbols, name) for name in ("GOMP_parallel", "omp_get_thread_num"))


def _has_instructions(level: Level) -> bool:
    if level == "avx2":
        return torch.cpu._is_avx2_supported()
    has_vnni = torch.cpu._is_vnni_supported()
    return has_vnni and (level == "avx512-vnni" or torch.cpu._is_avx512_bf16_supported())


def _compiles_for_this_processor() -> bool:
    """NUMBA_CPU_NAME and NUMBA_ENABLE_AVX can make numba compile for a lesser processor than this one."""
    import numba

    return numba.config.CPU_NAME in (None, "host") and bool(numba.config.ENABLE_AVX)
