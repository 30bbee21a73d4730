"""Kernels for CPUs, behind one seam: integer linear layers and attention, made for levels of processors.

`processor` says which levels this one has. numba and llvmlite are imported only where kernels run: never for CUDA
or MPS, or on other processors. Knows processors and memory layouts (`layout`), and of
models only which tokens Whisper allows together (`choose_likeliest`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from hf_asr_endpoint.whisper.kernels.cache_folder import open_cache_folder
from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.layout import Kernel, Layout
from hf_asr_endpoint.whisper.kernels.openmp import has_barrier
from hf_asr_endpoint.whisper.kernels.processor import Level, ask_for_registers
from hf_asr_endpoint.whisper.threads import N_CORES

COMPILED_ELSEWHERE = ("cross_attention", "quantize_cross_kv", "self_attention")
"""About half of the work of compiling, which at a release's first start is done by another process."""

COMPILED_HERE = (
    "int8_gemm",
    "pack_weight",
    "encoder_attention",
    "token_scores",
    "choose_likeliest",
    "run_program",
)


class Kernels:
    """All kernels of a level. Each is compiled, which takes seconds, or loaded when it is first used."""

    def __init__(self, level: Level, cache_dir: Path | None, *, isa: Isa | None = None) -> None:
        """level: one that this processor has. cache_dir: holds compiled code in its folder `kernels`; None: every
        process compiles. isa: instead of the level's own, such as one whose instructions are emulated.
        """
        from hf_asr_endpoint.whisper.kernels.levels import load_isa

        ask_for_registers(level)
        self.level, self._cache_dir = level, cache_dir
        self._isa = isa or load_isa(level)

    @property
    def layout(self) -> Layout:
        """How the kernels' operands lie in memory."""
        return self._isa.layout

    def compile_all(self) -> None:
        """Compile, or load, all kernels now. With an empty cache, two processes share the work."""
        from hf_asr_endpoint.whisper.kernels.precompile import compiling_elsewhere

        if N_CORES < 2 or self._cache_dir is None or self._folder is None or any(self._folder.rglob("*.nbi")):
            self._load(COMPILED_HERE + COMPILED_ELSEWHERE)
            return
        with compiling_elsewhere(self._cache_dir, self.level, COMPILED_ELSEWHERE):
            self._load(COMPILED_HERE)
        self._load(COMPILED_ELSEWHERE)

    def _load(self, names: Iterable[str]) -> None:
        for name in names:
            getattr(self, name)

    @cached_property
    def int8_gemm(self) -> Kernel:
        """Linear layers in 8-bit integers."""
        from hf_asr_endpoint.whisper.kernels.int8_gemm import make_int8_gemm

        return self._compile(make_int8_gemm)

    @cached_property
    def pack_weight(self) -> Kernel:
        """Quantizes a weight, as a checkpoint stores it, to the panels that `int8_gemm` reads."""
        from hf_asr_endpoint.whisper.kernels.pack_weight import make_pack_weight

        return self._compile(make_pack_weight)

    @cached_property
    def encoder_attention(self) -> Kernel:
        """Attention between all positions of a window."""
        if self.layout.attends == "bfloat16":
            from hf_asr_endpoint.whisper.kernels.encoder_attention import make_encoder_attention

            return self._compile(make_encoder_attention)
        if self.layout.attends == "float32":
            from hf_asr_endpoint.whisper.kernels.encoder_attention_float32 import make_encoder_attention_float32

            return self._compile(make_encoder_attention_float32)
        from hf_asr_endpoint.whisper.kernels.encoder_attention_pairs import make_encoder_attention_pairs

        return self._compile(make_encoder_attention_pairs)

    @cached_property
    def self_attention(self) -> Kernel:
        """The decoder's self-attention to keys and values in bfloat16."""
        from hf_asr_endpoint.whisper.kernels.self_attention import make_self_attention

        return self._compile(make_self_attention)

    @cached_property
    def cross_attention(self) -> Kernel:
        """The decoder's cross-attention to keys and values in 8-bit integers."""
        if self.layout.multiplies == "bytes":
            from hf_asr_endpoint.whisper.kernels.cross_attention import make_cross_attention

            return self._compile(make_cross_attention)
        from hf_asr_endpoint.whisper.kernels.cross_attention_pairs import make_cross_attention_pairs

        return self._compile(make_cross_attention_pairs)

    @cached_property
    def quantize_cross_kv(self) -> Kernel:
        """Quantizes a window's keys and values to the 8-bit integers that `cross_attention` reads."""
        from hf_asr_endpoint.whisper.kernels.quantize_cross_kv import make_quantize_cross_kv

        return self._compile(make_quantize_cross_kv)

    @cached_property
    def token_scores(self) -> Kernel:
        """Finds the likeliest tokens of rows of logits, in parts of the vocabulary."""
        from hf_asr_endpoint.whisper.kernels.token_scores import make_token_scores

        return self._compile(make_token_scores)

    @cached_property
    def choose_likeliest(self) -> Kernel:
        """Chooses among the tokens that `token_scores` has found."""
        from hf_asr_endpoint.whisper.kernels.choose_likeliest import make_choose_likeliest

        return self._compile(make_choose_likeliest)

    @cached_property
    def run_program(self) -> Kernel | None:
        """Runs kernels one after another, for a `Program`; None where the threads' runtime has no barrier."""
        if not has_barrier():
            return None
        from hf_asr_endpoint.whisper.kernels.run_program import run_program

        return self._compile(lambda isa: run_program)

    def _compile(self, make: Callable[[Any], Any]) -> Kernel:
        from hf_asr_endpoint.whisper.kernels.launch import ParallelKernel

        return ParallelKernel(make(self._isa), folder=self._folder)

    @cached_property
    def _folder(self) -> Path | None:
        return None if self._cache_dir is None else open_cache_folder(self._cache_dir, level=self.level)
