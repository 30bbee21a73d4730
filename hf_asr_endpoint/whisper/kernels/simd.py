"""Operations on vector registers, emitted as LLVM instructions and written like arithmetic on numbers.

LLVM vectorises what numba compiles only where it can prove that this is safe. The epilogue of a tile must stay in
registers, so it is written with vectors from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from llvmlite import ir

from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.layout import CACHE_LINE_BYTES

INT8, INT16, INT32, INT64, FLOAT = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
_FAST = ("nnan", "ninf", "nsz", "arcp", "contract", "afn")
"""All of LLVM's "fast" but "reassoc": the same steps of two loops round alike, so a row's result is the same in a
tile of any size."""


@dataclass(frozen=True, slots=True)
class FloatVector:
    """float32 values, one for each lane. Its operators emit instructions."""

    simd: Simd
    value: Any

    def __add__(self, other: FloatVector | float) -> FloatVector:
        return self.with_value(self.simd.builder.fadd(self.value, self._value_of(other), flags=_FAST))

    def __sub__(self, other: FloatVector | float) -> FloatVector:
        return self.with_value(self.simd.builder.fsub(self.value, self._value_of(other), flags=_FAST))

    def __mul__(self, other: FloatVector | float) -> FloatVector:
        return self.with_value(self.simd.builder.fmul(self.value, self._value_of(other), flags=_FAST))

    def __rtruediv__(self, other: float) -> FloatVector:
        return self.with_value(self.simd.builder.fdiv(self._value_of(other), self.value, flags=_FAST))

    def __abs__(self) -> FloatVector:
        bits = self.simd.builder.and_(self.bits(), self.simd.int32s(0x7FFFFFFF))
        return self.with_value(self.simd.builder.bitcast(bits, self.simd.float_vector))

    def maximum(self, other: FloatVector) -> FloatVector:
        """Return the larger value of each lane."""
        is_larger = self.simd.builder.fcmp_ordered(">", self.value, other.value, flags=_FAST)
        return self.with_value(self.simd.builder.select(is_larger, self.value, other.value))

    def where_negative(self, one: FloatVector, other: FloatVector) -> FloatVector:
        """Return `one` in lanes where this is negative, `other` elsewhere."""
        is_negative = self.simd.builder.fcmp_ordered("<", self.value, self._value_of(0.0), flags=_FAST)
        return self.with_value(self.simd.builder.select(is_negative, one.value, other.value))

    def exp2(self) -> FloatVector:
        """Return 2 to the power of this, see `Isa`."""
        power: FloatVector = self.simd.isa.exp2(self)
        return power

    def to_int32(self) -> Any:
        """Convert to integers, dropping the fraction."""
        return self.simd.builder.fptosi(self.value, self.simd.int32_vector)

    def to_bfloat16(self) -> Any:
        """Convert to the bits of bfloat16, rounding to the nearest, ties to even."""
        assert self.simd.isa.to_bfloat16 is not None
        return self.simd.isa.to_bfloat16(self)

    def reduce_max(self) -> Any:
        """Return the largest value of all lanes, float32."""
        return self._reduce(lambda one, other: one.maximum(other))

    def reduce_sum(self) -> Any:
        """Return the sum of all lanes, float32."""
        return self._reduce(lambda one, other: one + other)

    def _reduce(self, combine: Callable[[FloatVector, FloatVector], FloatVector]) -> Any:
        n_lanes = self.simd.isa.n_lanes
        reduced, n_left = self, n_lanes
        while n_left > 1:
            n_left //= 2
            order = ir.Constant(self.simd.int32_vector, [(lane + n_left) % n_lanes for lane in range(n_lanes)])
            rotated = self.simd.builder.shuffle_vector(reduced.value, reduced.value, order)
            reduced = combine(reduced, self.with_value(rotated))
        return self.simd.builder.extract_element(reduced.value, ir.Constant(INT32, 0))

    def instruction(self, assembly: str, result: Any, *operands: FloatVector) -> FloatVector:
        """Emit a single instruction. result: the type of what it returns."""
        function = ir.FunctionType(result, [self.simd.float_vector] * len(operands))
        values = [operand.value for operand in operands]
        return self.with_value(self.simd.builder.asm(function, assembly, "=v" + ",v" * len(values), values, False))

    def bits(self) -> Any:
        """Return the bits as 32-bit integers."""
        return self.simd.builder.bitcast(self.value, self.simd.int32_vector)

    def with_value(self, value: Any) -> FloatVector:
        """Return another vector of the same level."""
        return FloatVector(self.simd, value)

    def _value_of(self, other: FloatVector | float) -> Any:
        return other.value if isinstance(other, FloatVector) else self.simd.floats(other)


class Simd:
    """Emits a level's vector instructions with one of llvmlite's builders. Addresses need not be aligned."""

    def __init__(self, isa: Isa, builder: Any) -> None:
        self.isa, self.builder = isa, builder
        self.int8_vector, self.int16_vector = ir.VectorType(INT8, isa.n_lanes), ir.VectorType(INT16, isa.n_lanes)
        self.int32_vector, self.float_vector = ir.VectorType(INT32, isa.n_lanes), ir.VectorType(FLOAT, isa.n_lanes)
        self.pair_vector = ir.VectorType(INT16, 2 * isa.n_lanes)  # a whole register

    def allocate(self, memory_type: Any) -> Any:
        """Emit memory that is there until the function returns; return its address.

        It is not cleared. numba's `alloca_once` clears it at each call, which took longer than a tile's products.
        """
        with self.builder.goto_entry_block():
            memory = self.builder.alloca(memory_type)
        memory.align = CACHE_LINE_BYTES
        return self.builder.ptrtoint(memory, INT64)

    def int32s(self, value: int) -> Any:
        """Return a constant with one integer in all lanes."""
        return ir.Constant(self.int32_vector, [value] * self.isa.n_lanes)

    def floats(self, value: float) -> Any:
        """Return a constant with one float32 in all lanes."""
        return ir.Constant(self.float_vector, [value] * self.isa.n_lanes)

    def vector(self, value: Any) -> FloatVector:
        """Wrap a vector of float32 in its operators."""
        return FloatVector(self, value)

    def to_floats(self, value: Any) -> FloatVector:
        """Convert a vector of 32-bit integers."""
        return self.vector(self.builder.sitofp(value, self.float_vector))

    def broadcast_float(self, value: Any) -> FloatVector:
        """Copy one float32 to all lanes."""
        return self.vector(self._broadcast(value, self.float_vector))

    def load(self, address: Any, vector: Any) -> Any:
        """Load a vector of a type."""
        return self.builder.load(self.builder.inttoptr(address, vector.as_pointer()), align=1)

    def store(self, address: Any, value: Any) -> None:
        """Store a vector."""
        self.builder.store(value, self.builder.inttoptr(address, value.type.as_pointer()), align=1)

    def load_floats(self, address: Any) -> FloatVector:
        """Load float32."""
        return self.vector(self.load(address, self.float_vector))

    def load_bfloat16(self, address: Any) -> FloatVector:
        """Load bfloat16 as float32."""
        widened = self.builder.zext(self.load(address, self.int16_vector), self.int32_vector)
        bits = self.builder.shl(widened, self.int32s(16))
        return self.vector(self.builder.bitcast(bits, self.float_vector))

    def load_activations(self, address: Any) -> FloatVector:
        """Load a vector of the level's activations as float32."""
        is_float32 = self.isa.layout.activations == torch.float32
        return self.load_floats(address) if is_float32 else self.load_bfloat16(address)

    def store_activations(self, address: Any, values: FloatVector) -> None:
        """Store float32 as the level's activations."""
        is_float32 = self.isa.layout.activations == torch.float32
        self.store(address, values.value if is_float32 else values.to_bfloat16())

    def load_broadcast(self, address: Any, element: Any, vector: Any) -> Any:
        """Load one 32-bit element and copy it to all lanes."""
        return self._broadcast(self.load(address, element), vector)

    def load_row_word(self, address: Any) -> Any:
        """Load a word of a row where the level's dot products take it from: all lanes or the first one."""
        if self.isa.broadcasts_words:
            return self.load_broadcast(address, INT32, self.int32_vector)
        return self._in_first_lane(self.load(address, INT32), self.int32_vector)

    def _in_first_lane(self, value: Any, vector: Any) -> Any:
        return self.builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(INT32, 0))

    def _broadcast(self, value: Any, vector: Any) -> Any:
        order = ir.Constant(self.int32_vector, None)
        undefined = ir.Constant(vector, ir.Undefined)
        return self.builder.shuffle_vector(self._in_first_lane(value, vector), undefined, order)

    def add_bytes(self, address: Any, n_bytes: int) -> Any:
        """Return an address plus a constant."""
        return self.builder.add(address, ir.Constant(INT64, n_bytes))

    def add_scaled(self, address: Any, value: Any, factor: int) -> Any:
        """Return an address plus a run-time value times a constant factor."""
        return self.builder.add(address, self.builder.mul(value, ir.Constant(INT64, factor)))

    def loop(self, n_times: Any, initial: Sequence[Any], body: Callable[..., Sequence[Any]]) -> list[Any]:
        """Emit a loop that runs `n_times`, at least once; return what its last iteration returns.

        body: emits an iteration, given its number, int64, and what the iteration before returned, at first
        `initial`.
        """
        builder = self.builder
        before, loop = builder.block, builder.append_basic_block("loop")
        after_loop = builder.append_basic_block("after_loop")
        builder.branch(loop)
        builder.position_at_end(loop)
        index = builder.phi(INT64)
        carried = [builder.phi(value.type) for value in initial]
        returned = list(body(index, *carried))
        next_index = builder.add(index, ir.Constant(INT64, 1))
        initial, returns = [ir.Constant(INT64, 0), *initial], [next_index, *returned]
        for phi, first, following in zip([index, *carried], initial, returns, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(following, builder.block)
        builder.cbranch(builder.icmp_signed("<", next_index, n_times), loop, after_loop)
        builder.position_at_end(after_loop)
        return returned
