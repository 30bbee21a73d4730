"""Holds this project and its peers to one level of the processor's instructions, as if it had no more."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from types import MappingProxyType

from hf_asr_endpoint.config import variable_of
from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.kernels.processor import choose_level


def _held(*, mkl: str, onednn: str, vectors: str) -> Mapping[str, str]:
    return MappingProxyType(
        {
            "MKL_ENABLE_INSTRUCTIONS": mkl,
            "ONEDNN_MAX_CPU_ISA": onednn,
            "DNNL_MAX_CPU_ISA": onednn,  # the older name, for the oneDNN in CTranslate2
            "CT2_FORCE_CPU_ISA": vectors,
            "ATEN_CPU_CAPABILITY": vectors.lower(),
        }
    )


HELD: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "avx512-bf16": _held(mkl="AVX512_E3", onednn="AVX512_CORE_BF16", vectors="AVX512"),
        "avx512-vnni": _held(mkl="AVX512_E1", onednn="AVX512_CORE_VNNI", vectors="AVX512"),
        "avx-vnni": _held(mkl="AVX2_E1", onednn="AVX2_VNNI", vectors="AVX2"),
        "avx2": _held(mkl="AVX2", onednn="AVX2", vectors="AVX2"),
    }
)
"""For a level, the variables that keep the libraries of torch and CTranslate2 from instructions above it.

The names are those of oneMKL's "Instruction Set-Specific Dispatching" (which it ignores on AMD's processors),
oneDNN's "CPU Dispatcher Control", and CTranslate2's "Environment variables". Above other levels there is nothing.
"""


def level_environment(level: str) -> dict[str, str]:
    """Return the variables that hold a process to a level: of this project, and of libraries. None for "auto"."""
    if level == "auto":
        return {}
    return {**HELD.get(level, {}), variable_of("cpu_level"): level}


def add_level_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cpu-level",
        type=_level,
        default="auto",
        metavar="LEVEL",
        help="hold all engines to a level, see --cpu-level of the server (default: what the processor has)",
    )


def _level(name: str) -> str:
    try:
        choose_level(name)
    except ModelUnavailable as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc
    return name
