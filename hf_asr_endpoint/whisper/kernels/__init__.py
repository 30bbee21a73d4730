"""Kernels for CPUs with AVX-512's dot-product instructions (VNNI, BF16), behind one seam.

`find_kernels` returns them where they run. numba and llvmlite are imported only there: never for CUDA or MPS, on
Windows or on other processors. Knows processors and memory layouts (`layout`); knows no models.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch

from hf_asr_endpoint.whisper.kernels.cache_folder import open_cache_folder
from hf_asr_endpoint.whisper.kernels.layout import Kernel
from hf_asr_endpoint.whisper.process import process_symbols


def find_kernels(*, device: torch.device, dtype: torch.dtype, cache_dir: Path | None) -> Kernels | None:
    """Return the kernels for tensors of a device and dtype; None where torch's operators must do."""
    is_supported = device.type == "cpu" and dtype == torch.bfloat16 and available()
    return Kernels(cache_dir) if is_supported else None


@cache
def available() -> bool:
    """Say whether kernels run here: the processor has the instructions, and torch's threads are GNU OpenMP's."""
    if not (has_avx512_vnni_bf16() and has_gnu_openmp()):
        return False
    import numba

    # NUMBA_CPU_NAME and NUMBA_ENABLE_AVX can make numba compile for a lesser processor than this one.
    return numba.config.CPU_NAME in (None, "host") and bool(numba.config.ENABLE_AVX)


def has_avx512_vnni_bf16() -> bool:
    """Say whether the processor has AVX-512's dot products of 8-bit integers (VNNI) and of bfloat16 (BF16)."""
    return torch.cpu._is_vnni_supported() and torch.cpu._is_avx512_bf16_supported()


def has_gnu_openmp() -> bool:
    """Say whether the process has loaded GNU OpenMP, as torch does on Linux."""
    symbols = process_symbols() if sys.platform == "linux" else None
    return all(hasattr(symbols, name) for name in ("GOMP_parallel", "omp_get_thread_num"))


class Kernels:
    """All kernels. Each is compiled when it is first used, which takes seconds, or loaded from the cache."""

    def __init__(self, cache_dir: Path | None) -> None:
        """cache_dir: holds compiled code in its folder `kernels`; None: every process compiles."""
        self._cache_dir = cache_dir

    @property
    def prefer_tiles(self) -> bool:
        """Whether `int8_gemm` and `encoder_attention` are the fastest for large products.

        Processors with AMX have tiles in hardware. torch uses those and is several times faster.
        """
        return not torch.cpu._is_amx_tile_supported()

    @cached_property
    def int8_gemm(self) -> Kernel:
        """Linear layers in 8-bit integers, of bfloat16 activations."""
        from hf_asr_endpoint.whisper.kernels.int8_gemm import int8_gemm

        return self._compile(int8_gemm)

    @cached_property
    def encoder_attention(self) -> Kernel:
        """Attention between all positions of a window, in bfloat16."""
        from hf_asr_endpoint.whisper.kernels.encoder_attention import encoder_attention

        return self._compile(encoder_attention)

    @cached_property
    def self_attention(self) -> Kernel:
        """The decoder's self-attention, in bfloat16."""
        from hf_asr_endpoint.whisper.kernels.self_attention import self_attention

        return self._compile(self_attention)

    @cached_property
    def cross_attention(self) -> Kernel:
        """The decoder's cross-attention to keys and values in 8-bit integers."""
        from hf_asr_endpoint.whisper.kernels.cross_attention import cross_attention

        return self._compile(cross_attention)

    @cached_property
    def quantize_cross_kv(self) -> Kernel:
        """Quantizes a window's keys and values to the 8-bit integers that `cross_attention` reads."""
        from hf_asr_endpoint.whisper.kernels.quantize_cross_kv import quantize_cross_kv

        return self._compile(quantize_cross_kv)

    def _compile(self, function: Callable[[Any], None]) -> Kernel:
        from hf_asr_endpoint.whisper.kernels.launch import parallel_kernel

        return parallel_kernel(function, folder=self._folder)

    @cached_property
    def _folder(self) -> Path | None:
        return None if self._cache_dir is None else open_cache_folder(self._cache_dir)
