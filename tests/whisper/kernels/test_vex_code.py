"""The machine code of AVX-VNNI's tile. It is assembled for such a processor, so any x86 shows it."""

from __future__ import annotations

import platform
import re

import llvmlite.binding as llvm
import pytest
from llvmlite import ir

from hf_asr_endpoint.whisper.kernels.isa import DotProduct
from hf_asr_endpoint.whisper.kernels.levels import load_isa
from hf_asr_endpoint.whisper.kernels.simd import INT64, Simd
from hf_asr_endpoint.whisper.kernels.tile import accumulate_tile
from tests.whisper.levels import X86

ISA = load_isa("avx-vnni")
N_SUMS = ISA.layout.tile_rows * ISA.vectors_per_row

VPDPBUSD, VPDPWSSD = 0x50, 0x52
"""Opcodes of the three-byte VEX map 0F38, see Intel's Software Developer's Manual, volume 2."""

pytestmark = pytest.mark.skipif(platform.machine() not in X86, reason="needs an x86 processor")


def compile_tile(dot_product: DotProduct | None) -> tuple[str, bytes]:
    """Return the assembly and the object file of a function that accumulates a whole tile and stores the sums."""
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [INT64] * 5), "tile")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    simd = Simd(ISA, builder)
    sums = accumulate_tile(simd, dot_product, function.args[:4], n_rows=ISA.layout.tile_rows)
    for number, total in enumerate(sums.values()):
        simd.store(simd.add_bytes(function.args[4], 32 * number), total)
    builder.ret_void()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(cpu="alderlake", opt=3)
    parsed = llvm.parse_assembly(str(module))
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    llvm.create_pass_builder(machine, options).getModulePassManager().run(
        parsed, llvm.create_pass_builder(machine, options)
    )
    return machine.emit_assembly(parsed), machine.emit_object(parsed)


@pytest.mark.parametrize(
    ("dot_product", "opcode"),
    [
        pytest.param(ISA.dot_bytes, VPDPBUSD, id="bytes"),
        pytest.param(ISA.dot_bytes_of_unsigned_columns, VPDPBUSD, id="bytes, unsigned columns"),
        pytest.param(ISA.dot_pairs, VPDPWSSD, id="pairs"),
    ],
)
def test_a_tile_is_vex_instructions_and_stays_in_registers(dot_product: DotProduct | None, opcode: int) -> None:
    assembly, code = compile_tile(dot_product)
    # C4: VEX with three bytes; the second one ends in the map, 2; the third has 256 bits and the prefix 66.
    found = [
        third
        for _, second, third, _ in re.findall(rb"(\xc4)(.)(.)(" + bytes([opcode]) + rb")", code, re.DOTALL)
        if second[0] & 0x1F == 2 and third[0] & 0b101 == 0b101
    ]
    assert len(found) == N_SUMS
    assert not re.search(r"rsp\)", assembly), "a sum was stored on the stack"
