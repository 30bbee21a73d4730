"""Quantizes a window's keys and values to 8-bit integers, laid out for `cross_attention`.

data: the addresses of keys and values, activations, shape = (n_positions, 2, n_heads, HEAD_DIM), and of the
result; then n_positions and n_heads.

The result, for n_keys = n_positions rounded up to whole panels and words of e elements: keys, around the layout's
zero point, shape = (n_heads, n_panels, HEAD_DIM / e, tile_columns, e); values, int8, shape = (n_heads, n_keys / e,
HEAD_DIM, e); the scales of both, float32, shape = (2, n_heads, HEAD_DIM). Keys and values after the last position
stand for 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray

from hf_asr_endpoint.whisper.kernels.compile import compiled, inlined
from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM, MAX_INT8
from hf_asr_endpoint.whisper.kernels.scalar import (
    activation_type,
    maximum,
    pointer,
    tasks_of_thread,
    to_float32,
    to_int32,
    word_type,
)

_MAX_INT8 = np.float32(MAX_INT8)
_MIN_MAGNITUDE = np.float32(1e-8)  # of a channel, so that its scale is never 0


def make_quantize_cross_kv(isa: Isa) -> Any:
    """Return the kernel. Each channel of a window has its own scale. Threads share out the heads."""
    activation, columns_per_tile = activation_type(isa), isa.layout.tile_columns
    word_elements = isa.layout.elements_per_word
    panel_words, head_words = columns_per_tile // word_elements, HEAD_DIM // word_elements
    word = word_type(isa)
    write_keys, write_values = _make_write_keys(isa), _make_write_values(isa)

    def quantize_cross_kv(data):
        args = carray(data, (4,))
        n_positions, n_heads = args[2], args[3]
        heads = carray(pointer(args[0], activation), (n_positions, 2 * n_heads, HEAD_DIM))
        n_panels = (n_positions + columns_per_tile - 1) // columns_per_tile
        n_bytes = n_heads * n_panels * columns_per_tile * HEAD_DIM
        keys = carray(pointer(args[1], word), (n_heads, n_panels, head_words, columns_per_tile))
        values = carray(
            pointer(args[1] + n_bytes, np.int8), (n_heads, n_panels, panel_words, HEAD_DIM, word_elements)
        )
        scales = carray(pointer(args[1] + 2 * n_bytes, np.float32), (2 * n_heads, HEAD_DIM))
        factors, block = np.empty(HEAD_DIM, np.float32), np.empty((columns_per_tile, HEAD_DIM), np.int8)
        block_words = carray(pointer(np.int64(block.ctypes.data), word), (columns_per_tile, head_words))
        for head in tasks_of_thread(data, 4, 2 * n_heads):
            # At first the channels' magnitudes, then what to multiply the channels by.
            factors[:] = _MIN_MAGNITUDE
            for position in range(n_positions):
                _update_magnitudes(factors, heads[position, head])
            scales[head] = factors / _MAX_INT8
            factors[:] = _MAX_INT8 / factors
            for panel in range(n_panels):
                begin = panel * columns_per_tile
                block[:] = np.int8(0)
                for position in range(begin, min(begin + columns_per_tile, n_positions)):
                    _quantize_row(heads[position, head], factors, block[position - begin])
                if head < n_heads:
                    for n in range(head_words):
                        write_keys(block_words, n, keys[head, panel, n])
                    continue
                for n in range(panel_words):
                    write_values(block, n, values[head - n_heads, panel, n])

    return quantize_cross_kv


@compiled
def _update_magnitudes(magnitudes, row):
    """Keep the largest magnitude of each channel so far."""
    for d in range(HEAD_DIM):
        magnitudes[d] = maximum(magnitudes[d], abs(to_float32(row[d])))


@compiled
def _quantize_row(row, factors, quantized):
    for d in range(HEAD_DIM):
        quantized[d] = np.int8(to_int32(np.rint(to_float32(row[d]) * factors[d])))


def _make_write_keys(isa: Isa) -> Any:
    """Return the function that writes a word of channels of a panel's positions.

    block_words: shape = (tile_columns, words of a head).
    """
    columns_per_tile = isa.layout.tile_columns
    word = word_type(isa)
    # Flipping the sign bits adds the zero point to each of a word's signed bytes.
    sign_bits = word(isa.layout.zero_point * 0x01010101)

    @compiled
    def write_keys(block_words, word, result):
        for n in range(columns_per_tile):
            result[n] = block_words[n, word] ^ sign_bits

    return write_keys


def _make_write_values(isa: Isa) -> Any:
    """Return the function that writes a word of positions of all channels.

    block: shape = (tile_columns, HEAD_DIM). result: shape = (HEAD_DIM, elements_per_word).
    """
    return {2: _write_values_of_two, 4: _write_values_of_four, 8: _write_values_of_eight}[
        isa.layout.elements_per_word
    ]


@inlined
def _write_values_of_eight(block, word, result):
    n = 8 * word
    _interleave_four(block[n], block[n + 1], block[n + 2], block[n + 3], result[:, :4])
    _interleave_four(block[n + 4], block[n + 5], block[n + 6], block[n + 7], result[:, 4:])


@inlined
def _write_values_of_four(block, word, result):
    n = 4 * word
    _interleave_four(block[n], block[n + 1], block[n + 2], block[n + 3], result)


@inlined
def _write_values_of_two(block, word, result):
    _interleave_two(block[2 * word], block[2 * word + 1], result)


@compiled
def _interleave_four(first, second, third, fourth, result):
    for d in range(HEAD_DIM):
        result[d, 0], result[d, 1], result[d, 2], result[d, 3] = first[d], second[d], third[d], fourth[d]


@compiled
def _interleave_two(first, second, result):
    for d in range(HEAD_DIM):
        result[d, 0], result[d, 1] = first[d], second[d]
