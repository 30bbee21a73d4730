"""Which levels of kernels this processor has. Imports no numba."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, get_args

import torch

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.kernels.arm_features import DOT_PRODUCT, INT8_MATRIX, has_arm_feature
from hf_asr_endpoint.whisper.kernels.openmp import find_openmp

Level = Literal["amx", "avx512-bf16", "avx512-vnni", "avx-vnni", "avx2", "neon-i8mm", "neon-dotprod"]
"""The levels that kernels are made for, the fastest first on most processors, see `levels`."""

LEVELS: tuple[Level, ...] = get_args(Level)

_INTELS_ORDER: tuple[Level, ...] = ("amx", "avx512-vnni", "avx512-bf16", "avx-vnni", "avx2")
"""Intel's processors multiply bfloat16 in vectors at a quarter of the speed of pairs (docs/kernels.md)."""


def choose_level(name: str) -> Level | None:
    """Return the level for a setting: the fastest of this processor for "auto", if it has any; none for "none".

    Raises ModelUnavailable for a level that the processor lacks.
    """
    if name == "none":
        return None
    available = levels()
    if name == "auto":
        return available[0] if available else None
    for level in available:
        if level == name:
            return level
    allowed = ", ".join(("auto", *available, "none"))
    raise ModelUnavailable(f"this processor lacks the instructions of cpu level {name!r}; allowed here: {allowed}")


@cache
def levels() -> tuple[Level, ...]:
    """Return the levels whose instructions the processor reports, the fastest first.

    None where kernels do not run: they need torch's threads to be those of an OpenMP that they know, and numba to
    compile for this processor.
    """
    if not (find_openmp() and _compiles_for_this_processor()):
        return ()
    available = [level for level in LEVELS if _has_instructions(level)]
    return tuple(sorted(available, key=_INTELS_ORDER.index) if _is_intels() else available)


def ask_for_registers(level: Level) -> bool:
    """Say whether the process may use all registers of a level. Linux gives those of AMX to processes that ask."""
    return level != "amx" or torch.cpu._init_amx()


def _has_instructions(level: Level) -> bool:
    if level == "neon-i8mm":
        return has_arm_feature(INT8_MATRIX) and has_arm_feature(DOT_PRODUCT)
    if level == "neon-dotprod":
        return has_arm_feature(DOT_PRODUCT)
    if level == "avx2":
        return torch.cpu._is_avx2_supported()
    if level == "avx-vnni":
        return torch.cpu._is_avx2_supported() and _reports("avx_vnni")
    has_vnni = torch.cpu._is_vnni_supported()
    if level == "avx512-vnni":
        return has_vnni
    has_bfloat16 = has_vnni and torch.cpu._is_avx512_bf16_supported()
    return has_bfloat16 and (level == "avx512-bf16" or (_has_matrix_unit() and ask_for_registers(level)))


def _is_intels() -> bool:
    return "Intel" in str(_capabilities().get("cpu_name", ""))


def _has_matrix_unit() -> bool:
    return torch.cpu._is_amx_tile_supported() and _reports("amx_int8") and _reports("amx_bf16")


def _reports(name: str) -> bool:
    """Say whether the processor and its system have a feature, named as in cpuinfo, which torch asks."""
    return bool(_capabilities().get(name, False))


def _capabilities() -> Mapping[str, Any]:
    """Return what cpuinfo knows about the processor; nothing for a torch that cannot be asked."""
    get_capabilities: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    return get_capabilities()


def _compiles_for_this_processor() -> bool:
    """NUMBA_CPU_NAME and NUMBA_ENABLE_AVX can make numba compile for a lesser processor than this one."""
    import numba

    return numba.config.CPU_NAME in (None, "host") and bool(numba.config.ENABLE_AVX)
