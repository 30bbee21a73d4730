"""Quantizes rows of activations to integers, each row with its own scale, perhaps after a layer norm."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray

from hf_asr_endpoint.whisper.kernels.compile import compiled, inlined
from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.layout import MAX_BYTE_PAIR, MAX_INT8, NORM_EPSILON, max_pair_element
from hf_asr_endpoint.whisper.kernels.scalar import activation_type, maximum, pointer, to_float32, to_int32

_MAX_INT8, _MAX_BYTE_PAIR = np.float32(MAX_INT8), np.float32(MAX_BYTE_PAIR)
_MIN_MAGNITUDE = np.float32(1e-8)  # of a row, so that its scale is never 0
_NORM_EPSILON = np.float32(NORM_EPSILON)


def make_quantize_block(isa: Isa) -> Any:
    """Return the function that quantizes rows of `int8_gemm`'s activations, from begin to end.

    It takes the kernel's data, begin, end, and the addresses of the quantized rows, at the begin of the thread's
    scratch memory, and of their scales, float32. At the end of that memory is a row for the layer norm.
    """
    activation = activation_type(isa)
    in_pairs = isa.layout.multiplies == "pairs"
    quantize_row = _make_quantize_to_pairs(isa) if in_pairs else _make_quantize_to_bytes(isa)
    pair_rows = make_pair_rows(isa)

    @inlined
    def quantize_block(args, begin, end, rows_at, scales_at):
        n_in, activation_bytes, block_rows, norm_at = args[7], args[10], args[11], args[13]
        activations = carray(pointer(args[0], activation), (args[6], n_in))
        scales = carray(pointer(scales_at, np.float32), (block_rows,))
        norm = carray(pointer(norm_at, np.float32), (2, n_in))
        normalized = carray(pointer(rows_at + args[12] - 4 * n_in, np.float32), (n_in,))
        for row in range(end - begin):
            row_at = rows_at + row * activation_bytes * n_in
            if norm_at != 0:
                _normalize(activations[begin + row], norm, normalized)
                scales[row] = quantize_row(normalized, row_at, activation_bytes)
            else:
                scales[row] = quantize_row(activations[begin + row], row_at, activation_bytes)
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
    """Return the function that takes a row, the address of its bytes and the bytes of each, and returns its scale.

    The upper bytes of two are a row of their own, and the lower ones the next.
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
        return _quantize_to_pairs(row, quantized, np.float32(largest_of(len(row))))

    return quantize_to_pairs


def _make_quantize_to_int8(isa: Isa) -> Any:
    """Return the function that writes a row as bytes around the layout's zero point, and returns its scale.

    Without a zero point a byte holds the bits of a signed integer.
    """
    zero_point = np.int32(isa.layout.zero_point)

    @compiled
    def quantize_to_int8(row, quantized):
        magnitude = _max_magnitude(row)
        factor = _MAX_INT8 / magnitude
        for n in range(len(row)):
            quantized[n] = np.uint8(to_int32(np.rint(to_float32(row[n]) * factor)) + zero_point)
        return magnitude / _MAX_INT8

    return quantize_to_int8


def _make_quantize_to_int16(isa: Isa) -> Any:
    """Return the function that writes a row as 16-bit integers, split into two bytes, and returns its scale.

    Each byte is as `_make_quantize_to_int8` says. The lower one stands for -128 to 127, so 128 is added before
    the upper one is taken.
    """
    half = 128
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
        return magnitude / _MAX_BYTE_PAIR

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
