"""Arithmetic of the processor's vectors, written down in LLVM's instructions as if they were numbers.

What numba compiles becomes vectors only where LLVM sees that it may; in the middle of a tile it must.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

N_LANES = 16  # 32-bit words of an AVX-512 register

INT16, INT32, INT64, FLOAT = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
WORDS, FLOATS = ir.VectorType(INT32, N_LANES), ir.VectorType(FLOAT, N_LANES)
HALVES, BYTES = ir.VectorType(INT16, N_LANES), ir.VectorType(ir.IntType(8), N_LANES)
_FAST = ("fast",)


@dataclass(frozen=True, slots=True)
class FloatVector:
    """N_LANES float32, or a formula for them."""

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
        bits = self.builder.and_(self._bits(), words(0x7FFFFFFF))
        return self._with(self.builder.bitcast(bits, FLOATS))

    def larger(self, other: FloatVector) -> FloatVector:
        is_larger = self.builder.fcmp_ordered(">", self.value, other.value, flags=_FAST)
        return self._with(self.builder.select(is_larger, self.value, other.value))

    def where_negative(self, one: FloatVector, other: FloatVector) -> FloatVector:
        """Return `one` where this is negative, `other` elsewhere."""
        is_negative = self.builder.fcmp_ordered("<", self.value, self._value_of(0.0), flags=_FAST)
        return self._with(self.builder.select(is_negative, one.value, other.value))

    def power_of_2(self) -> FloatVector:
        """Return 2 to the power of this within 8e-5 of itself: a cubic for the fraction. bfloat16 rounds off up
        to 2e-3."""
        whole = self._by("vrndscaleps $$9, $1, $0", FLOATS, self)  # rounded down
        part = self - whole
        power = ((part * 0.07790716 + 0.22623319) * part + 0.6957771) * part + 0.99992783
        return self._by("vscalefps $2, $1, $0", FLOATS, power, whole)

    def whole(self) -> Any:
        """Return what comes before the point, as integers."""
        return self.builder.fptosi(self.value, WORDS)

    def narrowed(self) -> Any:
        """Return bfloat16's bits, to the nearest, ties to even."""
        return self._by("vcvtneps2bf16 $1, $0", HALVES, self).value

    def largest(self) -> Any:
        """Return the largest of the lanes, float32."""
        return self._reduced(lambda one, other: one.larger(other))

    def total(self) -> Any:
        """Return the sum of the lanes, float32."""
        return self._reduced(lambda one, other: one + other)

    def _reduced(self, combine: Callable[[FloatVector, FloatVector], FloatVector]) -> Any:
        reduced, n_left = self, N_LANES
        while n_left > 1:
            n_left //= 2
            order = ir.Constant(WORDS, [(lane + n_left) % N_LANES for lane in range(N_LANES)])
            turned = self.builder.shuffle_vector(reduced.value, reduced.value, order)
            reduced = combine(reduced, self._with(turned))
        return self.builder.extract_element(reduced.value, ir.Constant(INT32, 0))

    def _by(self, instruction: str, result: Any, *operands: FloatVector) -> FloatVector:
        """Return what an instruction makes of operands."""
        function = ir.FunctionType(result, [FLOATS] * len(operands))
        values = [operand.value for operand in operands]
        return self._with(self.builder.asm(function, instruction, "=v" + ",v" * len(values), values, False))

    def _bits(self) -> Any:
        return self.builder.bitcast(self.value, WORDS)

    def _with(self, value: Any) -> FloatVector:
        return FloatVector(self.builder, value)

    def _value_of(self, other: FloatVector | float) -> Any:
        return other.value if isinstance(other, FloatVector) else ir.Constant(FLOATS, [other] * N_LANES)


def everywhere(builder: Any, value: Any) -> FloatVector:
    """Return one float32 in all lanes."""
    return FloatVector(builder, _to_all(builder, value, FLOATS))


def repeat(builder: Any, n_times: Any, firsts: Sequence[Any], body: Callable[..., Sequence[Any]]) -> list[Any]:
    """Emit a loop, gone through at least once; return what its last time returns.

    body: given the number of times before, int64, and what the last one returned, at first `firsts`.
    """
    before, loop = builder.block, builder.append_basic_block("loop")
    behind = builder.append_basic_block("behind")
    builder.branch(loop)
    builder.position_at_end(loop)
    index = builder.phi(INT64)
    carried = [builder.phi(first.type) for first in firsts]
    returned = list(body(index, *carried))
    following = builder.add(index, ir.Constant(INT64, 1))
    firsts, returns = [ir.Constant(INT64, 0), *firsts], [following, *returned]
    for phi, first, after in zip([index, *carried], firsts, returns, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(after, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, n_times), loop, behind)
    builder.position_at_end(behind)
    return returned


def advanced(builder: Any, address: Any, n_bytes: int) -> Any:
    return builder.add(address, ir.Constant(INT64, n_bytes))


def moved(builder: Any, address: Any, steps: Any, n_bytes: int) -> Any:
    """Return an address some steps of `n_bytes` on."""
    return builder.add(address, builder.mul(steps, ir.Constant(INT64, n_bytes)))


def load(builder: Any, address: Any, vector: Any) -> Any:
    return builder.load(builder.inttoptr(address, vector.as_pointer()), align=1)


def store(builder: Any, address: Any, value: Any) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=1)


def load_floats(builder: Any, address: Any) -> FloatVector:
    return FloatVector(builder, load(builder, address, FLOATS))


def load_bfloat16(builder: Any, address: Any) -> FloatVector:
    wide = builder.shl(builder.zext(load(builder, address, HALVES), WORDS), words(16))
    return FloatVector(builder, builder.bitcast(wide, FLOATS))


def load_to_all(builder: Any, address: Any, element: Any, vector: Any) -> Any:
    """Load one word into all lanes."""
    return _to_all(builder, load(builder, address, element), vector)


def _to_all(builder: Any, value: Any, vector: Any) -> Any:
    nothing = ir.Constant(vector, ir.Undefined)
    lane = builder.insert_element(nothing, value, ir.Constant(INT32, 0))
    return builder.shuffle_vector(lane, nothing, ir.Constant(WORDS, None))


def words(value: int) -> Any:
    """Return one integer in all lanes."""
    return ir.Constant(WORDS, [value] * N_LANES)
