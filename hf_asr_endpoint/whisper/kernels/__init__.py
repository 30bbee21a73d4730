"""Kernels for CPUs with AVX-512's dot products, behind one seam: ask here whether they run, and for each one.

numba and llvmlite are imported by the first kernel that is asked for, not by this module: on CUDA, on MPS, on
Windows and on other processors they are never imported. Knows processors and memory layouts (`layout`); knows no
models.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

import torch

from hf_asr_endpoint.whisper.kernels.layout import Kernel


@cache
def available() -> bool:
    """Say whether kernels run here: the processor has the instructions, and torch's threads are GNU OpenMP's."""
    if not (has_avx512_vnni_bf16() and _has_gnu_openmp()):
        return False
    import numba

    # NUMBA_CPU_NAME and NUMBA_ENABLE_AVX can tell numba to compile for a lesser processor than this one.
    return numba.config.CPU_NAME in (None, "host") and bool(numba.config.ENABLE_AVX)


def has_avx512_vnni_bf16() -> bool:
    """Say whether the processor has AVX-512's dot products of 8-bit integers (VNNI) and of bfloat16."""
    return torch.cpu._is_vnni_supported() and torch.cpu._is_avx512_bf16_supported()


def prefer_tiles() -> bool:
    """Say whether the kernels' tiles are the fastest way to large products.

    AMX processors have hardware tiles, which torch uses and which are several times faster.
    """
    return available() and not torch.cpu._is_amx_tile_supported()


@cache
def int8_gemm_kernel() -> Kernel:
    """Return the kernel for linear layers in 8-bit integers."""
    from hf_asr_endpoint.whisper.kernels.int8_gemm import compile_kernel

    return compile_kernel()


@cache
def encoder_attention_kernel() -> Kernel:
    """Return the kernel for attention among all positions of a window, in bfloat16."""
    from hf_asr_endpoint.whisper.kernels.encoder_attention import compile_kernel

    return compile_kernel()


@cache
def self_attention_kernel() -> Kernel:
    """Return the kernel for the decoder's self-attention, in bfloat16."""
    from hf_asr_endpoint.whisper.kernels.self_attention import compile_kernel

    return compile_kernel()


@cache
def cross_attention_kernel() -> Kernel:
    """Return the kernel for the decoder's cross-attention to keys and values in 8-bit integers."""
    from hf_asr_endpoint.whisper.kernels.cross_attention import compile_kernel

    return compile_kernel()


@cache
def quantize_cross_kv_kernel() -> Kernel:
    """Return the kernel that quantizes a window's keys and values to 8-bit integers."""
    from hf_asr_endpoint.whisper.kernels.quantize_cross_kv import compile_kernel

    return compile_kernel()


@cache
def _has_gnu_openmp() -> bool:
    if sys.platform != "linux":
        return False
    return all(hasattr(ctypes.CDLL(None), name) for name in ("GOMP_parallel", "omp_get_thread_num"))
