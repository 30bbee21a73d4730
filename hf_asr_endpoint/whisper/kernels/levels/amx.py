"""AMX: a unit that multiplies matrices of bytes and of bfloat16. Sapphire Rapids and later.

Its 8 registers have 16 rows of 64 bytes: 16 words of a row, or those of 16 columns. Panels of AVX-512 are laid out
as it reads columns. Everything else is AVX-512's. Of the registers 4 hold sums, the others rows and columns: one
tile of 16 rows and 64 columns at a time, or of 32 rows and 32 columns, for which fewer bytes are loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from llvmlite import ir

from hf_asr_endpoint.whisper.kernels.isa import MatrixUnit
from hf_asr_endpoint.whisper.kernels.layout import UNIT_WORDS
from hf_asr_endpoint.whisper.kernels.levels import avx512_bf16
from hf_asr_endpoint.whisper.kernels.simd import INT8, INT64, Simd

N_REGISTERS, REGISTER_ROWS, REGISTER_BYTES = 8, 16, 64
ROWS = 2 * REGISTER_ROWS
WORD_BYTES = 4

PALETTE = bytes([1, *bytes(15)])
CONFIGURATION = (
    PALETTE
    + REGISTER_BYTES.to_bytes(2, "little") * N_REGISTERS
    + bytes(16)
    + bytes([REGISTER_ROWS] * N_REGISTERS)
    + bytes(8)
)
"""Operand of ldtilecfg: all registers whole. Intel's manual, volume 1, chapter 18."""


def _prepare(simd: Simd) -> None:
    """Emit the registers' configuration, which is a thread's own."""
    values = ir.Constant(ir.ArrayType(INT8, len(CONFIGURATION)), bytearray(CONFIGURATION))
    module = simd.builder.module
    variable = ir.GlobalVariable(module, values.type, module.get_unique_name("amx_configuration"))
    variable.initializer, variable.global_constant, variable.linkage = values, True, "internal"
    _emit(simd, "ldtilecfg ($0)", simd.builder.ptrtoint(variable, INT64))


def _release(simd: Simd) -> None:
    """Emit that the registers are free: else the system saves 8 KiB at each change of threads."""
    _emit(simd, "tilerelease")


def _multiply(
    simd: Simd, args: Sequence[Any], n_rows: int, sums: Any, sums_bytes: Any, *, instruction: str
) -> None:
    """See `MatrixUnit`. n_rows: REGISTER_ROWS or ROWS."""
    n_columns, row_registers = simd.isa.layout.tile_columns, n_rows // REGISTER_ROWS
    columns_at_once = 4 // row_registers * UNIT_WORDS
    rows, row_bytes, columns, n_words = args
    n_steps = simd.builder.lshr(n_words, ir.Constant(INT64, UNIT_WORDS.bit_length() - 1))
    panel_bytes = ir.Constant(INT64, WORD_BYTES * n_columns)
    for left in range(0, n_columns, columns_at_once):
        part = simd.add_bytes(columns, WORD_BYTES * left)
        places = [(row, column) for row in range(row_registers) for column in range(columns_at_once // UNIT_WORDS)]
        for number in range(len(places)):
            _emit(simd, f"tilezero %tmm{number}")

        def accumulate(step: Any, part: Any = part, places: Any = places) -> list[Any]:
            for row in range(row_registers):
                row_at = simd.add_scaled(
                    simd.add_scaled(rows, row_bytes, row * REGISTER_ROWS), step, REGISTER_BYTES
                )
                _emit(simd, f"tileloadd ($0,$1,1), %tmm{4 + row}", row_at, row_bytes)
            columns_at = simd.add_scaled(part, step, WORD_BYTES * n_columns * UNIT_WORDS)
            loaded = -1
            for row, column in sorted(places, key=lambda place: place[1]):
                register = 6 + column % 2
                if column != loaded:
                    column_at = simd.add_bytes(columns_at, column * REGISTER_BYTES)
                    _emit(simd, f"tileloadd ($0,$1,1), %tmm{register}", column_at, panel_bytes)
                    loaded = column
                _emit(simd, f"{instruction} %tmm{register}, %tmm{4 + row}, %tmm{places.index((row, column))}")
            return []

        simd.loop(n_steps, [], accumulate)
        for number, (row, column) in enumerate(places):
            offset = WORD_BYTES * (left + column * UNIT_WORDS)
            sums_at = simd.add_bytes(simd.add_scaled(sums, sums_bytes, row * REGISTER_ROWS), offset)
            _emit(simd, f"tilestored %tmm{number}, ($0,$1,1)", sums_at, sums_bytes)


def _emit(simd: Simd, assembly: str, *operands: Any) -> None:
    """Emit an instruction that reads or writes memory or the unit's registers, which LLVM uses for nothing."""
    function = ir.FunctionType(ir.VoidType(), [INT64] * len(operands))
    constraints = ",".join([*["r"] * len(operands), "~{memory}"])
    simd.builder.asm(function, assembly, constraints, list(operands), True)


ISA = replace(
    avx512_bf16.ISA,
    layout=replace(avx512_bf16.ISA.layout, level="amx", unit_rows=ROWS),
    matrix_unit=MatrixUnit(
        prepare=_prepare,
        release=_release,
        multiply_bytes=partial(_multiply, instruction="tdpbusd"),
        multiply_bfloat16=partial(_multiply, instruction="tdpbf16ps"),
    ),
)
