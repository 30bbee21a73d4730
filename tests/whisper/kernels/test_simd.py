from __future__ import annotations

from llvmlite import ir

from hf_asr_endpoint.whisper.kernels.layout import CACHE_LINE_BYTES
from hf_asr_endpoint.whisper.kernels.levels import load_isa
from hf_asr_endpoint.whisper.kernels.simd import INT64, Simd


def test_memory_of_a_tile_is_aligned_and_not_cleared() -> None:
    """Clearing 8 KiB for each of a kernel's six tiles at each call took half of an AMX window's time."""
    function = ir.Function(ir.Module(), ir.FunctionType(INT64, []), "tile")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    simd = Simd(load_isa("avx2"), builder)
    builder.ret(simd.allocate(ir.ArrayType(simd.int32_vector, 128)))
    code = str(function)
    assert f"align {CACHE_LINE_BYTES}" in code
    assert "store" not in code
