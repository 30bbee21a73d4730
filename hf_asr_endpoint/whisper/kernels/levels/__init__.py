"""The levels of processors that kernels are made for: a file for each, with its `ISA`."""

from __future__ import annotations

from importlib import import_module

from hf_asr_endpoint.whisper.kernels.isa import Isa


def load_isa(level: str) -> Isa:
    """Return a level by its name, such as "avx512-bf16". Imports llvmlite."""
    module = import_module(f"{__name__}.{level.replace('-', '_')}")
    isa: Isa = module.ISA
    return isa
