"""How near each kernel comes to the processor's peak, level by level. Run by `make bench-kernels`.

One thread. Times are those of the processor, not of the clock, and the least of many, so that other work disturbs
little. The peak of an instruction is measured: a loop of nothing but this instruction on registers.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import torch
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F

from bench.machine import processor_name
from hf_asr_endpoint.user_folders import cache_folder
from hf_asr_endpoint.whisper.kernels import Kernels
from hf_asr_endpoint.whisper.kernels.isa import DotProduct, Isa
from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM, UNIT_WORDS
from hf_asr_endpoint.whisper.kernels.levels import amx, load_isa
from hf_asr_endpoint.whisper.kernels.processor import Level, levels
from hf_asr_endpoint.whisper.kernels.simd import INT32, INT64, Simd
from hf_asr_endpoint.whisper.kv_cache.int8_cross_kv import Int8CrossKVCache
from hf_asr_endpoint.whisper.kv_cache.shape import CacheShape
from hf_asr_endpoint.whisper.model.attention import KernelEncoderAttention, torch_encoder_attention
from hf_asr_endpoint.whisper.model.linear import Int8TileLinear

COLUMNS = ("level", "kernel", "time", "billion products/s", "of peak", "torch float32 takes")
REPETITIONS = 15
PEAK_ROUNDS = 1_000_000
N_POSITIONS, D_MODEL, N_HEADS = 1_500, 512, 8  # whisper-base and its window of 30 s


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A kernel's speed. n_products: multiplications. peak: of its instruction. torch_s: of torch in float32."""

    level: str
    kernel: str
    n_products: int
    seconds: float
    peak: float
    torch_s: float

    def cells(self) -> list[str]:
        rate = self.n_products / self.seconds
        return [
            self.level,
            self.kernel,
            f"{self.seconds * 1e3:.2f} ms",
            f"{rate / 1e9:.0f}",
            f"{rate / self.peak:.0%}",
            f"{self.torch_s / self.seconds:.1f} ×",
        ]


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    table = Table(*COLUMNS, title=f"one core of {processor_name()}")
    with torch.inference_mode():
        for level in levels():
            for row in measure(level):
                table.add_row(*row.cells())
    Console(width=120).print(table)


def measure(level: Level) -> Iterator[Row]:
    """Yield a row for each kernel of a level."""
    isa, kernels = load_isa(level), Kernels(level, cache_folder())  # which asks for the registers
    of_vectors = peak(isa, isa.dot_bytes or isa.dot_pairs, isa.layout.elements_per_word)
    in_integers = unit_peak("tdpbusd", 4) if isa.matrix_unit else of_vectors
    for name, n_rows, n_in, n_out in (
        ("fc1 of a window", N_POSITIONS, D_MODEL, 4 * D_MODEL),
        ("fc2 of a window", N_POSITIONS, 4 * D_MODEL, D_MODEL),
        ("fc1, 16 rows", 16, D_MODEL, 4 * D_MODEL),
        ("output, 1 row", 1, D_MODEL, 51_865),
        ("output, 16 rows", 16, D_MODEL, 51_865),
    ):
        weight, x = torch.randn(n_out, n_in), torch.randn(n_rows, n_in)
        linear = Int8TileLinear(weight, None, activation_bytes=1, kernels=kernels)
        seconds = best(linear, x.to(kernels.layout.activations))
        yield Row(
            level=level, kernel=name, n_products=n_rows * n_in * n_out, seconds=seconds, peak=in_integers,
            torch_s=best(F.linear, x, weight),
        )  # fmt: skip
    of_attention = {
        "bfloat16": (isa.dot_bfloat16, 2),
        "pairs": (isa.dot_pairs, 2),
        "float32": (isa.dot_float32, 1),
    }[kernels.layout.attends]
    heads = torch.randn(N_POSITIONS, 3, N_HEADS, HEAD_DIM)
    yield Row(
        level=level, kernel="encoder attention", n_products=2 * N_POSITIONS**2 * D_MODEL,
        seconds=best(KernelEncoderAttention(kernels), heads.to(kernels.layout.activations)),
        peak=unit_peak("tdpbf16ps", 2)
        if isa.matrix_unit
        else peak(isa, *of_attention, in_float32=kernels.layout.attends != "pairs"),
        torch_s=best(torch_encoder_attention, heads),
    )  # fmt: skip
    yield _cross_attention(level, kernels, of_vectors)


def _cross_attention(level: Level, kernels: Kernels, in_integers: float) -> Row:
    """Of 16 sequences with a window each."""
    shape = CacheShape(slots=16, n_layers=1, n_heads=N_HEADS, head_dim=HEAD_DIM, max_tokens=8, max_positions=1_500)
    cache = Int8CrossKVCache(shape, kernels)
    keys_and_values = torch.randn(N_POSITIONS, 2 * D_MODEL)
    for slot in range(shape.slots):
        cache.allocate(slot, N_POSITIONS)
        cache.write(slot, 0, keys_and_values.to(kernels.layout.activations))
    attend = cache.attention_for(range(shape.slots), n_tokens=1)
    queries = torch.randn(shape.slots, 1, N_HEADS, HEAD_DIM)
    keys, values = torch.randn(2, shape.slots, N_HEADS, N_POSITIONS, HEAD_DIM)

    def attend_in_float32() -> None:
        torch.softmax(queries.transpose(1, 2) @ keys.transpose(2, 3), dim=-1) @ values

    return Row(
        level=level, kernel="cross-attention, 16 windows", n_products=shape.slots * 2 * N_POSITIONS * D_MODEL,
        seconds=best(attend, 0, queries.to(kernels.layout.activations)), peak=in_integers,
        torch_s=best(attend_in_float32),
    )  # fmt: skip


def best(function: Callable[..., Any], *args: Any) -> float:
    """Return the seconds of the fastest of several calls."""
    taken = []
    for _ in range(REPETITIONS):
        began = time.thread_time()
        function(*args)
        taken.append(time.thread_time() - began)
    return min(taken)


def peak(isa: Isa, dot: DotProduct | None, elements_per_word: int, *, in_float32: bool = False) -> float:
    """Return the products a second of a dot-product instruction on as many accumulators as a tile has."""
    assert dot is not None
    n_accumulators = isa.layout.tile_rows * isa.vectors_per_row

    @intrinsic
    def run(typing: Any, n_rounds: Any, seed: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            simd = Simd(isa, builder)
            vector = simd.float_vector if in_float32 else simd.int32_vector
            word = simd.broadcast_float(builder.bitcast(builder.trunc(args[1], INT32), ir.FloatType())).bits()

            def add_products(index: Any, *accumulators: Any) -> list[Any]:
                # The accumulator is an operand, too, so that no product is the same in every round.
                bits = [builder.bitcast(total, simd.int32_vector) for total in accumulators]
                return [dot(simd, *operands) for operands in zip(accumulators, repeat(word), bits, strict=False)]

            initial = [ir.Constant(vector, [n + 1] * isa.n_lanes) for n in range(n_accumulators)]
            totals = [builder.bitcast(t, simd.int32_vector) for t in simd.loop(args[0], initial, add_products)]
            combined = totals[0]
            for total in totals[1:]:
                combined = builder.xor(combined, total)
            return builder.sext(builder.extract_element(combined, ir.Constant(INT32, 0)), INT64)

        return types.int64(types.int64, types.int64), generate

    compiled = njit(lambda n_rounds, seed: run(n_rounds, seed))
    compiled(10, 3)
    return PEAK_ROUNDS * n_accumulators * isa.n_lanes * elements_per_word / best(compiled, PEAK_ROUNDS, 3)


def unit_peak(instruction: str, elements_per_word: int) -> float:
    """Return the products a second of AMX's instruction on as many accumulators as a tile has."""
    unit, n_accumulators = amx.ISA.matrix_unit, 4
    assert unit is not None

    @intrinsic
    def run(typing: Any, n_rounds: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            simd = Simd(amx.ISA, builder)
            unit.prepare(simd)

            def multiply(index: Any) -> list[Any]:
                for number in range(n_accumulators):
                    assembly = f"{instruction} %tmm{6 + number % 2}, %tmm{4 + number // 2}, %tmm{number}"
                    builder.asm(ir.FunctionType(ir.VoidType(), []), assembly, "", [], True)
                return []

            simd.loop(args[0], [], multiply)
            unit.release(simd)
            return context.get_dummy_value()

        return types.void(types.int64), generate

    compiled = njit(lambda n_rounds: run(n_rounds))
    compiled(10)
    n_products = amx.REGISTER_ROWS * UNIT_WORDS**2 * elements_per_word
    return PEAK_ROUNDS * n_accumulators * n_products / best(compiled, PEAK_ROUNDS)


if __name__ == "__main__":
    main()
