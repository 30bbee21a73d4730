"""Quantizes rows of activations, each with its own scale and zero point, perhaps after a layer norm."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray

from hf_asr_endpoint.whisper.kernels.compile import compiled, inlined
from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.layout import (
    MAX_BYTE_PAIR,
    MAX_INT8,
    NORM_EPSILON,
    ZERO_POINT,
    max_pair_element,
)
from hf_asr_endpoint.whisper.kernels.scalar import activation_type, maximum, minimum, pointer, to_float32, to_int32
from hf_asr_endpoint.whisper.kernels.zero_points import make_zero_point_word

_MAX_BYTE_PAIR = np.float32(MAX_BYTE_PAIR)
_MAX_SPAN = np.float32(2 * MAX_INT8)  # of a byte's 256 values: both ends of a row may be rounded outwards
_MIN_MAGNITUDE = np.float32(1e-8)  # of a row, so that its scale is never 0
_NORM_EPSILON = np.float32(NORM_EPSILON)


def make_quantize_block(isa: Isa) -> Any:
    """Return the function that quantizes rows of `int8_gemm`'s activations, from begin to end.

    It takes the kernel's data, begin, end, and the addresses of the quantized rows, at the begin of the thread's
    scratch memory, and of their parameters, see `ROW_PARAMETERS_BYTES`. At the end of that memory is a row for the
    layer norm.
    """
    activation = activation_type(isa)
    in_pairs = isa.layout.multiplies == "pairs"
    quantize_row = _make_quantize_to_pairs(isa) if in_pairs else _make_quantize_to_bytes(isa)
    pair_rows, zero_point_word = make_pair_rows(isa), make_zero_point_word(isa)

    @inlined
    def quantize_block(args, begin, end, rows_at, parameters_at):
        n_in, activation_bytes, block_rows, norm_at = args[7], args[10], args[11], args[13]
        activations = carray(pointer(args[0], activation), (args[6], n_in))
        scales = carray(pointer(parameters_at, np.float32), (block_rows, 2))
        zero_points = carray(pointer(parameters_at, np.int32), (block_rows, 2))
        norm = carray(pointer(norm_at, np.float32), (2, n_in))
        normalized = carray(pointer(rows_at + args[12] - 4 * n_in, np.float32), (n_in,))
        for row in range(end - begin):
            row_at = rows_at + row * activation_bytes * n_in
            if norm_at != 0:
                _normalize(activations[begin + row], norm, normalized)
                scale, zero_point = quantize_row(normalized, row_at, activation_bytes)
            else:
                scale, zero_point = quantize_row(activations[begin + row], row_at, activation_bytes)
            scales[row, 0], zero_points[row, 1] = scale, zero_point_word(zero_point)
        pair_rows(rows_at, activation_bytes * (end - begin), n_in)

    return quantize_block


@compiled
def _normalize(row, norm, normalized):
    """Write (row - mean) / deviation × weight + bias, float32. norm: weight and bias."""
    n_in = np.float32(len(row))
    total = np.float32(0)
    for n in range(len(row)):
        total += to_float32(row[n])
    mean, squares = total / n_in, np.float32(0)
    for n in range(len(row)):
        difference = to_float32(row[n]) - mean
        normalized[n] = difference
        squares += difference * difference
    factor = np.float32(1) / np.sqrt(squares / n_in + _NORM_EPSILON)
    for n in range(len(row)):
        normalized[n] = normalized[n] * factor * norm[0, n] + norm[1, n]


def _make_quantize_to_bytes(isa: Isa) -> Any:
    """Return the function that takes a row, the address of its bytes and the bytes of each.

    It returns the row's scale and its zero point. The upper bytes of two are a row of their own, and the lower
    ones the next.
    """
    quantize_to_int8, quantize_to_int16 = _make_quantize_to_int8(isa), _make_quantize_to_int16(isa)

    @compiled
    def quantize_to_bytes(row, quantized_at, activation_bytes):
        n_in = len(row)
        quantized = carray(pointer(quantized_at, np.uint8), (2, n_in))
        if activation_bytes == 1:
            return quantize_to_int8(row, quantized[0])
        return quantize_to_int16(row, quantized[0], quantized[1])

    return quantize_to_bytes


def make_pair_rows(isa: Isa) -> Any:
    """Return the function that stores rows of bytes in pairs where the level multiplies them so, see `Layout`.

    It takes the rows' address, their number, and the bytes of each; the rows are replaced. An odd one is paired
    with the memory after it.
    """
    return _pair_rows if isa.layout.rows_per_product == 2 else _leave_rows


@compiled
def _pair_rows(rows_at, n_rows, row_bytes):
    n_words = row_bytes // 8
    copied = np.empty((2, n_words), np.uint64)
    for first in range(0, n_rows, 2):
        pair = carray(pointer(rows_at + first * row_bytes, np.uint64), (2 * n_words,))
        for word in range(n_words):
            copied[0, word], copied[1, word] = pair[word], pair[n_words + word]
        for word in range(n_words):
            pair[2 * word], pair[2 * word + 1] = copied[0, word], copied[1, word]


@inlined
def _leave_rows(rows_at, n_rows, row_bytes):
    pass


def _make_quantize_to_pairs(isa: Isa) -> Any:
    """As `_make_quantize_to_bytes`, for 16-bit integers, whatever the bytes asked for."""
    largest_of = compiled(max_pair_element)

    @compiled
    def quantize_to_pairs(row, quantized_at, activation_bytes):
        quantized = carray(pointer(quantized_at, np.int16), (len(row),))
        return _quantize_to_pairs(row, quantized, np.float32(largest_of(len(row)))), np.int32(0)

    return quantize_to_pairs


def _make_quantize_to_int8(isa: Isa) -> Any:
    """Return the function that writes a row as bytes, and returns its scale and its zero point.

    The row's own range, with 0 in it, fills the bytes: activations after GELU have hardly any negative numbers. A
    number 0 has no error, since the zero point is an integer: most of those activations are 0.
    """
    lowest_byte = np.int32(isa.layout.zero_point - ZERO_POINT)  # 0 for unsigned bytes, else -128

    @compiled
    def quantize_to_int8(row, quantized):
        least, largest = -_MIN_MAGNITUDE, _MIN_MAGNITUDE
        for n in range(len(row)):
            value = to_float32(row[n])
            least, largest = minimum(least, value), maximum(largest, value)
        span = largest - least
        factor = _MAX_SPAN / span
        zero_point = np.int32(to_int32(np.rint(-least * factor)) + lowest_byte)
        for n in range(len(row)):
            quantized[n] = np.uint8(to_int32(np.rint(to_float32(row[n]) * factor)) + zero_point)
        return span / _MAX_SPAN, zero_point

    return quantize_to_int8


def _make_quantize_to_int16(isa: Isa) -> Any:
    """As `_make_quantize_to_int8`, for 16-bit integers, split into two bytes.

    Both bytes have the layout's zero point. The lower one stands for -128 to 127, so 128 is added before the upper
    one is taken.
    """
    half = 128
    zero_point = np.int32(isa.layout.zero_point)
    offset = np.int32(isa.layout.zero_point << 8 | half)
    lower_offset = np.int32(isa.layout.zero_point - half)

    @compiled
    def quantize_to_int16(row, upper, lower):
        magnitude = _max_magnitude(row)
        factor = _MAX_BYTE_PAIR / magnitude
        for n in range(len(row)):
            shifted = to_int32(np.rint(to_float32(row[n]) * factor)) + offset
            upper[n] = np.uint8(shifted >> np.int32(8))
            lower[n] = np.uint8(shifted + lower_offset)
        return magnitude / _MAX_BYTE_PAIR, zero_point

    return quantize_to_int16


@compiled
def _quantize_to_pairs(row, quantized, largest):
    """Write a row as signed integers up to `largest`; return its scale."""
    magnitude = _max_magnitude(row)
    factor = largest / magnitude
    for n in range(len(row)):
        quantized[n] = np.int16(to_int32(np.rint(to_float32(row[n]) * factor)))
    return magnitude / largest


@inlined
def _max_magnitude(row):
    largest = _MIN_MAGNITUDE
    for n in range(len(row)):
        largest = maximum(largest, abs(to_float32(row[n])))
    return largest
