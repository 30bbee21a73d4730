"""The machine code of a tile on Arm: what its innermost loop consists of.

Needs an Arm processor, because llvmlite reads the assembly of its own machine alone.
"""

from __future__ import annotations

import platform
import re
from typing import Any

import llvmlite.binding as llvm
import pytest
from llvmlite import ir

from hf_asr_endpoint.whisper.kernels.isa import DotProduct, Isa
from hf_asr_endpoint.whisper.kernels.levels import load_isa
from hf_asr_endpoint.whisper.kernels.simd import INT64, Simd
from hf_asr_endpoint.whisper.kernels.tile import accumulate_tile

DOTPROD, I8MM = load_isa("neon-dotprod"), load_isa("neon-i8mm")

pytestmark = pytest.mark.skipif(
    platform.machine().lower() not in ("aarch64", "arm64"), reason="needs an Arm processor; run by make test-arm"
)


def compile_tile(isa: Isa, dot_product: DotProduct | None, *, in_float32: bool) -> str:
    """Return the assembly of a function that accumulates a whole tile and stores the sums."""
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [INT64] * 5), "tile")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    simd = Simd(isa, builder)
    sums = accumulate_tile(
        simd,
        dot_product,
        function.args[:4],
        n_rows=isa.layout.tile_rows,
        accumulator=simd.float_vector if in_float32 else simd.int32_vector,
        rows_per_product=1 if in_float32 else isa.layout.rows_per_product,
    )
    for number, total in enumerate(sums.values()):
        simd.store(simd.add_bytes(function.args[4], 16 * number), total)
    builder.ret_void()
    return optimize(module)


def optimize(module: Any) -> str:
    """Return the assembly for an Arm processor that LLVM knows nothing more of."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(cpu="generic", opt=3)
    parsed = llvm.parse_assembly(str(module))
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(parsed, passes)
    return str(machine.emit_assembly(parsed))


def innermost_loop(assembly: str) -> list[str]:
    """Return the instructions of the function's only loop."""
    lines = [line.split("//")[0].strip() for line in assembly.splitlines()]
    (end,) = [n for n, line in enumerate(lines) if re.match(r"b\.\w+\s", line)]
    begin = lines.index(lines[end].split()[1] + ":")
    return [line for line in lines[begin + 1 : end + 1] if line and not line.startswith((".", "//", "#"))]


@pytest.mark.parametrize(
    ("isa", "dot_product", "in_float32", "instruction"),
    [
        (DOTPROD, DOTPROD.dot_bytes, False, r"sdot\s+v\d+\.4s, v\d+\.16b, v\d+\.4b\[0\]"),
        (DOTPROD, DOTPROD.dot_float32, True, r"fmla\s+v\d+\.4s, v\d+\.4s, v\d+\.s\[0\]"),
        (I8MM, I8MM.dot_bytes, False, r"smmla\s+v\d+\.4s, v\d+\.16b, v\d+\.16b"),
    ],
    ids=["dot products of bytes", "float32", "matrices of bytes"],
)
def test_a_tile_on_arm_stays_in_registers(
    isa: Isa, dot_product: DotProduct | None, in_float32: bool, instruction: str
) -> None:
    """Sums are never stored and loaded again, and a row's word is never copied to all lanes."""
    loop = innermost_loop(compile_tile(isa, dot_product, in_float32=in_float32))
    n_sums = isa.layout.tile_rows * isa.vectors_per_row
    assert len([line for line in loop if re.match(instruction, line)]) == n_sums
    assert not [line for line in loop if re.search(r"\[sp|\bst[rp]\b|\bdup\b|\bld1r\b|\bmov\s+v", line)]
    loads = [line for line in loop if re.match(r"ldu?[rp]\s+[qs]\d+", line)]
    assert loads
    assert len(loop) < 2 * n_sums
