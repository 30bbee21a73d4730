"""Operations on AVX-512 registers, emitted as LLVM instructions and written like arithmetic on numbers.

LLVM vectorises what numba compiles only where it can prove that this is safe. The epilogue of a tile must stay in
registers, so it is written with vectors from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

N_LANES = 16  # 32-bit words of a 512-bit register

INT16, INT32, INT64, FLOAT = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
INT32_VECTOR, FLOAT_VECTOR = ir.VectorType(INT32, N_LANES), ir.VectorType(FLOAT, N_LANES)
INT16_VECTOR, INT8_VECTOR = ir.VectorType(INT16, N_LANES), ir.VectorType(ir.IntType(8), N_LANES)
_FAST = ("fast",)


@dataclass(frozen=True, slots=True)
class FloatVector:
    """N_LANES float32 values. Its operators emit instructions."""

    builder: Any
    value: Any

    def __add__(self, other: FloatVector | float) -> FloatVector:
        return self._with(self.builder.fadd(self.value, self._value_of(other), flags=_FAST))

    def __sub__(self, other: FloatVector | float) -> FloatVector:
        return self._with(self.builder.fsub(self.value, self._value_of(other), flags=_FAST))

    def __mul__(self, other: FloatVector | float) -> FloatVector:
        return self._with(self.builder.fmul(self.value, self._value_of(other), flags=_FAST))

    def __rtruediv__(self, other: float) -> FloatVector:
        return self._with(self.builder.fdiv(self._value_of(other), self.value, flags=_FAST))

    def __abs__(self) -> FloatVector:
        bits = self.builder.and_(self._bits(), broadcast_int32(0x7FFFFFFF))
        return self._with(self.builder.bitcast(bits, FLOAT_VECTOR))

    def maximum(self, other: FloatVector) -> FloatVector:
        """Return the larger value of each lane."""
        is_larger = self.builder.fcmp_ordered(">", self.value, other.value, flags=_FAST)
        return self._with(self.builder.select(is_larger, self.value, other.value))

    def where_negative(self, one: FloatVector, other: FloatVector) -> FloatVector:
        """Return `one` in lanes where this is negative, `other` elsewhere."""
        is_negative = self.builder.fcmp_ordered("<", self.value, self._value_of(0.0), flags=_FAST)
        return self._with(self.builder.select(is_negative, one.value, other.value))

    def exp2(self) -> FloatVector:
        """Return 2 to the power of this, with a relative error below 8e-5: bfloat16 rounds by up to 2e-3.

        The fraction's power is a cubic polynomial.
        """
        whole = self._instruction("vrndscaleps $$9, $1, $0", FLOAT_VECTOR, self)  # rounded down
        part = self - whole
        power = ((part * 0.07790716 + 0.22623319) * part + 0.6957771) * part + 0.99992783
        return self._instruction("vscalefps $2, $1, $0", FLOAT_VECTOR, power, whole)

    def to_int32(self) -> Any:
        """Convert to integers, dropping the fraction."""
        return self.builder.fptosi(self.value, INT32_VECTOR)

    def to_bfloat16(self) -> Any:
        """Convert to the bits of bfloat16, rounding to the nearest, ties to even."""
        return self._instruction("vcvtneps2bf16 $1, $0", INT16_VECTOR, self).value

    def reduce_max(self) -> Any:
        """Return the largest value of all lanes, float32."""
        return self._reduce(lambda one, other: one.maximum(other))

    def reduce_sum(self) -> Any:
        """Return the sum of all lanes, float32."""
        return self._reduce(lambda one, other: one + other)

    def _reduce(self, combine: Callable[[FloatVector, FloatVector], FloatVector]) -> Any:
        reduced, n_left = self, N_LANES
        while n_left > 1:
            n_left //= 2
            order = ir.Constant(INT32_VECTOR, [(lane + n_left) % N_LANES for lane in range(N_LANES)])
            rotated = self.builder.shuffle_vector(reduced.value, reduced.value, order)
            reduced = combine(reduced, self._with(rotated))
        return self.builder.extract_element(reduced.value, ir.Constant(INT32, 0))

    def _instruction(self, assembly: str, result: Any, *operands: FloatVector) -> FloatVector:
        """Emit a single instruction. result: the type of what it returns."""
        function = ir.FunctionType(result, [FLOAT_VECTOR] * len(operands))
        values = [operand.value for operand in operands]
        return self._with(self.builder.asm(function, assembly, "=v" + ",v" * len(values), values, False))

    def _bits(self) -> Any:
        return self.builder.bitcast(self.value, INT32_VECTOR)

    def _with(self, value: Any) -> FloatVector:
        return FloatVector(self.builder, value)

    def _value_of(self, other: FloatVector | float) -> Any:
        return other.value if isinstance(other, FloatVector) else ir.Constant(FLOAT_VECTOR, [other] * N_LANES)


def broadcast_int32(value: int) -> Any:
    """Return a constant with one integer in all lanes."""
    return ir.Constant(INT32_VECTOR, [value] * N_LANES)


def broadcast_float(builder: Any, value: Any) -> FloatVector:
    """Copy one float32 to all lanes."""
    return FloatVector(builder, _broadcast(builder, value, FLOAT_VECTOR))


def load(builder: Any, address: Any, vector: Any) -> Any:
    """Load a vector of a type from an address, which need not be aligned."""
    return builder.load(builder.inttoptr(address, vector.as_pointer()), align=1)


def store(builder: Any, address: Any, value: Any) -> None:
    """Store a vector at an address, which need not be aligned."""
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=1)


def load_floats(builder: Any, address: Any) -> FloatVector:
    """Load N_LANES float32."""
    return FloatVector(builder, load(builder, address, FLOAT_VECTOR))


def load_bfloat16(builder: Any, address: Any) -> FloatVector:
    """Load N_LANES bfloat16 as float32."""
    bits = builder.shl(builder.zext(load(builder, address, INT16_VECTOR), INT32_VECTOR), broadcast_int32(16))
    return FloatVector(builder, builder.bitcast(bits, FLOAT_VECTOR))


def load_broadcast(builder: Any, address: Any, element: Any, vector: Any) -> Any:
    """Load one 32-bit element and copy it to all lanes."""
    return _broadcast(builder, load(builder, address, element), vector)


def _broadcast(builder: Any, value: Any, vector: Any) -> Any:
    undefined = ir.Constant(vector, ir.Undefined)
    first_lane = builder.insert_element(undefined, value, ir.Constant(INT32, 0))
    return builder.shuffle_vector(first_lane, undefined, ir.Constant(INT32_VECTOR, None))


def add_bytes(builder: Any, address: Any, n_bytes: int) -> Any:
    """Return an address plus a constant."""
    return builder.add(address, ir.Constant(INT64, n_bytes))


def add_scaled(builder: Any, address: Any, value: Any, factor: int) -> Any:
    """Return an address plus a run-time value times a constant factor."""
    return builder.add(address, builder.mul(value, ir.Constant(INT64, factor)))


def emit_loop(builder: Any, n_times: Any, initial: Sequence[Any], body: Callable[..., Sequence[Any]]) -> list[Any]:
    """Emit a loop that runs `n_times`, at least once; return what its last iteration returns.

    body: emits an iteration, given its number, int64, and what the iteration before returned, at first `initial`.
    """
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
