"""A window's keys and values in bfloat16 to 8-bit integers, a scale for each channel, laid out for products."""

from __future__ import annotations

import numpy as np
from numba import carray

from hf_asr_endpoint.whisper.kernels.compile import compiled
from hf_asr_endpoint.whisper.kernels.launch import on_threads
from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM, N_COLUMNS, Kernel
from hf_asr_endpoint.whisper.kernels.scalar import larger, pointer, thread_count, thread_number, to_int32, widen

_WORDS_OF_HEAD = HEAD_DIM // 4
_WORDS_OF_PANEL = N_COLUMNS // 4
_INT8_MAX = np.float32(127)
_MIN_MAGNITUDE = np.float32(1e-8)  # of a channel, instead of 0
_SIGN_BITS = np.uint32(0x80808080)  # turned over, four signed bytes are as many unsigned ones, 128 larger


def compile_kernel() -> Kernel:
    """Return the kernel; see `_quantize_cross_kv` for its data."""
    return on_threads(_quantize_cross_kv)


@compiled
def _enlarge(most, row):
    """Have `most` be the largest size of each channel so far."""
    for d in range(HEAD_DIM):
        most[d] = larger(most[d], abs(widen(row[d])))


@compiled
def _round(row, per_unit, rounded):
    for d in range(HEAD_DIM):
        rounded[d] = np.int8(to_int32(np.rint(widen(row[d]) * per_unit[d])))


@compiled
def _write_keys(block, word, written):
    """Write four channels of N_COLUMNS positions. block: shape = (N_COLUMNS, _WORDS_OF_HEAD) words."""
    for n in range(N_COLUMNS):
        written[n] = block[n, word] ^ _SIGN_BITS


@compiled
def _write_values(first, second, third, fourth, written):
    """Write four positions of all channels. written: shape = (HEAD_DIM, 4)."""
    for d in range(HEAD_DIM):
        written[d, 0], written[d, 1], written[d, 2], written[d, 3] = first[d], second[d], third[d], fourth[d]


def _quantize_cross_kv(data):
    """Round each channel of a window by a scale of its own.

    data: addresses of keys and values, bfloat16, shape = (n_positions, 2, n_heads, HEAD_DIM), and of what is
    written; n_positions and n_heads.
    Written are, for n_keys, which is n_positions rounded up to whole panels: keys, unsigned, shape = (n_heads,
    n_panels, HEAD_DIM / 4, N_COLUMNS, 4); values, int8, (n_heads, n_keys / 4, HEAD_DIM, 4); the scales of both,
    float32, (2, n_heads, HEAD_DIM). Behind the last position both are zero.
    """
    args = carray(data, (4,))
    n_positions, n_heads = args[2], args[3]
    given = carray(pointer(args[0], np.uint16), (n_positions, 2 * n_heads, HEAD_DIM))
    n_panels = (n_positions + N_COLUMNS - 1) // N_COLUMNS
    n_bytes = n_heads * n_panels * N_COLUMNS * HEAD_DIM
    keys = carray(pointer(args[1], np.uint32), (n_heads, n_panels, _WORDS_OF_HEAD, N_COLUMNS))
    values = carray(pointer(args[1] + n_bytes, np.int8), (n_heads, n_panels, _WORDS_OF_PANEL, HEAD_DIM, 4))
    scales = carray(pointer(args[1] + 2 * n_bytes, np.float32), (2 * n_heads, HEAD_DIM))
    per_unit, block = np.empty(HEAD_DIM, np.float32), np.empty((N_COLUMNS, HEAD_DIM), np.int8)
    in_words = carray(pointer(np.int64(block.ctypes.data), np.uint32), (N_COLUMNS, _WORDS_OF_HEAD))
    thread, n_threads = np.int64(thread_number()), np.int64(thread_count())
    for head in range(2 * n_heads * thread // n_threads, 2 * n_heads * (thread + 1) // n_threads):
        per_unit[:] = _MIN_MAGNITUDE
        for position in range(n_positions):
            _enlarge(per_unit, given[position, head])
        scales[head] = per_unit / _INT8_MAX
        per_unit[:] = _INT8_MAX / per_unit
        for panel in range(n_panels):
            begin = panel * N_COLUMNS
            block[:] = np.int8(0)
            for position in range(begin, min(begin + N_COLUMNS, n_positions)):
                _round(given[position, head], per_unit, block[position - begin])
            if head < n_heads:
                for word in range(_WORDS_OF_HEAD):
                    _write_keys(in_words, word, keys[head, panel, word])
                continue
            for word in range(_WORDS_OF_PANEL):
                n = 4 * word
                _write_values(
                    block[n], block[n + 1], block[n + 2], block[n + 3], values[head - n_heads, panel, word]
                )
