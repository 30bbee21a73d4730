"""Quantizes a window's keys and values from bfloat16 to 8-bit integers, laid out for `cross_attention`."""

from __future__ import annotations

import numpy as np
from numba import carray

from hf_asr_endpoint.whisper.kernels.compile import compiled
from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM, TILE_COLUMNS, WORD_BYTES
from hf_asr_endpoint.whisper.kernels.scalar import (
    maximum,
    pointer,
    thread_count,
    thread_number,
    to_float32,
    to_int32,
)

_HEAD_WORDS = HEAD_DIM // WORD_BYTES
_PANEL_WORDS = TILE_COLUMNS // WORD_BYTES
_MAX_INT8 = np.float32(127)
_MIN_MAGNITUDE = np.float32(1e-8)  # of a channel, so that its scale is never 0
_SIGN_BITS = np.uint32(0x80808080)  # flipping them adds the zero point to each of a word's four signed bytes


def quantize_cross_kv(data):
    """Quantize each channel of a window with its own scale. Threads share out the heads of keys and values.

    data: the addresses of keys and values, bfloat16, shape = (n_positions, 2, n_heads, HEAD_DIM), and of the
    result; then n_positions and n_heads.
    The result, for n_keys = n_positions rounded up to whole panels: keys, unsigned around ZERO_POINT, shape =
    (n_heads, n_panels, HEAD_DIM / 4, TILE_COLUMNS, 4); values, int8, shape = (n_heads, n_keys / 4, HEAD_DIM, 4);
    the scales of both, float32, shape = (2, n_heads, HEAD_DIM). Keys and values after the last position stand
    for 0.
    """
    args = carray(data, (4,))
    n_positions, n_heads = args[2], args[3]
    heads = carray(pointer(args[0], np.uint16), (n_positions, 2 * n_heads, HEAD_DIM))
    n_panels = (n_positions + TILE_COLUMNS - 1) // TILE_COLUMNS
    n_bytes = n_heads * n_panels * TILE_COLUMNS * HEAD_DIM
    keys = carray(pointer(args[1], np.uint32), (n_heads, n_panels, _HEAD_WORDS, TILE_COLUMNS))
    values = carray(pointer(args[1] + n_bytes, np.int8), (n_heads, n_panels, _PANEL_WORDS, HEAD_DIM, 4))
    scales = carray(pointer(args[1] + 2 * n_bytes, np.float32), (2 * n_heads, HEAD_DIM))
    factors, block = np.empty(HEAD_DIM, np.float32), np.empty((TILE_COLUMNS, HEAD_DIM), np.int8)
    block_words = carray(pointer(np.int64(block.ctypes.data), np.uint32), (TILE_COLUMNS, _HEAD_WORDS))
    thread, n_threads = np.int64(thread_number()), np.int64(thread_count())
    for head in range(2 * n_heads * thread // n_threads, 2 * n_heads * (thread + 1) // n_threads):
        # At first the channels' magnitudes, then what to multiply the channels by.
        factors[:] = _MIN_MAGNITUDE
        for position in range(n_positions):
            _update_magnitudes(factors, heads[position, head])
        scales[head] = factors / _MAX_INT8
        factors[:] = _MAX_INT8 / factors
        for panel in range(n_panels):
            begin = panel * TILE_COLUMNS
            block[:] = np.int8(0)
            for position in range(begin, min(begin + TILE_COLUMNS, n_positions)):
                _quantize_row(heads[position, head], factors, block[position - begin])
            if head < n_heads:
                for word in range(_HEAD_WORDS):
                    _write_keys(block_words, word, keys[head, panel, word])
                continue
            for word in range(_PANEL_WORDS):
                n = 4 * word
                _write_values(
                    block[n], block[n + 1], block[n + 2], block[n + 3], values[head - n_heads, panel, word]
                )


@compiled
def _update_magnitudes(magnitudes, row):
    """Keep the largest magnitude of each channel so far."""
    for d in range(HEAD_DIM):
        magnitudes[d] = maximum(magnitudes[d], abs(to_float32(row[d])))


@compiled
def _quantize_row(row, factors, quantized):
    for d in range(HEAD_DIM):
        quantized[d] = np.int8(to_int32(np.rint(to_float32(row[d]) * factors[d])))


@compiled
def _write_keys(block_words, word, result):
    """Write four channels of TILE_COLUMNS positions. block_words: shape = (TILE_COLUMNS, _HEAD_WORDS)."""
    for n in range(TILE_COLUMNS):
        result[n] = block_words[n, word] ^ _SIGN_BITS


@compiled
def _write_values(first, second, third, fourth, result):
    """Write four positions of all channels. result: shape = (HEAD_DIM, 4)."""
    for d in range(HEAD_DIM):
        result[d, 0], result[d, 1], result[d, 2], result[d, 3] = first[d], second[d], third[d], fourth[d]
