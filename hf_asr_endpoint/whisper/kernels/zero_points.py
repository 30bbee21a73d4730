"""Takes from a sum of products of bytes what the row's zero point has added: its product with the weights' total.

Arm multiplies and subtracts 32-bit integers in one instruction. x86 needs two, one of which takes two steps, but
adds a dot product of pairs in one: there the zero point and the negated total are stored as pairs of 16-bit
integers, so that their dot product is the product of both.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hf_asr_endpoint.whisper.kernels.compile import inlined
from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.simd import Simd

_LOWER_BITS = 7  # of the total, so that 255 × 2⁷ and 127 × MAX_INPUTS / 2⁷ are 16-bit integers
_TWICE = np.int32(1 << 16 | 1 << _LOWER_BITS)  # times a zero point: its pair, for the total's upper and lower bits
_LOWER, _ELEMENT = np.int32((1 << _LOWER_BITS) - 1), np.int32(0xFFFF)


def make_zero_point_word(isa: Isa) -> Any:
    """Return the function that writes a row's zero point as `take_zero_point` reads it."""

    @inlined
    def as_pair(zero_point):
        return np.int32(zero_point * _TWICE)

    return _unchanged if isa.dot_pairs is None else as_pair


def make_weights_word(isa: Isa) -> Any:
    """Return the function that writes the total of a column's weights as `take_zero_point` reads it."""

    @inlined
    def as_pair(total):
        taken = -total  # The dot product is added.
        return np.int32((taken & _LOWER) << np.int32(16) | (taken >> np.int32(_LOWER_BITS)) & _ELEMENT)

    return _unchanged if isa.dot_pairs is None else as_pair


@inlined
def _unchanged(number):
    return number


def take_zero_point(simd: Simd, total: Any, zero_point: Any, weights: Any) -> Any:
    """Emit a vector of sums without what the zero point has added. zero_point, weights: vectors of words."""
    if simd.isa.dot_pairs is not None:
        return simd.isa.dot_pairs(simd, total, zero_point, weights)
    return simd.builder.sub(total, simd.builder.mul(zero_point, weights))
