"""Quantizes a linear layer's weight and stores it in panels, as `int8_gemm` reads it.

Each output has its own scale. The weight is read as the checkpoint stores it, row by row, so that no copy of it in
float32 exists: torch's operators, one after another, need several of them and take five times as long.

data: the addresses of the weight, shape = (n_out, n_in), of the panels and of the columns' parameters, see
`int8_gemm`, of scratch memory, shape = (N_CORES, scratch_bytes), and of what multiplies the weight's inputs,
float32, shape = (n_in,); then n_out, n_in, the weight's format (see `WEIGHT_FORMATS`) and scratch_bytes. Of the
parameters, it writes the totals of the quantized weights, see `zero_points`, and the scales.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray

from hf_asr_endpoint.whisper.kernels.compile import compiled
from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.layout import BFLOAT16, FLOAT16, MAX_INT8
from hf_asr_endpoint.whisper.kernels.scalar import (
    half_to_float32,
    maximum,
    pointer,
    tasks_of_thread,
    thread_number,
    to_float32,
    to_int32,
    word_type,
)
from hf_asr_endpoint.whisper.kernels.zero_points import make_weights_word

_MAX_INT8 = np.float32(MAX_INT8)
_MIN_MAGNITUDE = np.float32(1e-8)  # of a row, so that its scale is never 0


def make_pack_weight(isa: Isa) -> Any:
    """Return the kernel. Threads share out the panels."""
    columns_per_panel, weights_word = isa.layout.tile_columns, make_weights_word(isa)
    word, word_bytes = word_type(isa), isa.layout.elements_per_word

    def pack_weight(data):
        args = carray(data, (9,))
        n_out, n_in, stored_as = args[5], args[6], args[7]
        scratch = args[3] + np.int64(thread_number()) * args[8]
        row = carray(pointer(scratch, np.float32), (n_in,))
        factors = carray(pointer(args[4], np.float32), (n_in,))
        quantized = carray(pointer(scratch + 4 * n_in, np.int8), (n_in,))
        words = carray(pointer(scratch + 4 * n_in, word), (n_in // word_bytes,))
        n_panels = (n_out + columns_per_panel - 1) // columns_per_panel
        for panel in tasks_of_thread(data, 9, n_panels):
            left = panel * columns_per_panel
            columns = carray(pointer(args[1] + left * n_in, word), (n_in // word_bytes, columns_per_panel))
            totals = carray(pointer(args[2] + left * 12, np.int32), (columns_per_panel,))
            scales = carray(pointer(args[2] + left * 12 + 4 * columns_per_panel, np.float32), (columns_per_panel,))
            for column in range(columns_per_panel):
                if left + column < n_out:
                    _read_row(args[0], left + column, n_in, stored_as, row)
                    for n in range(n_in):
                        row[n] *= factors[n]
                    scales[column] = _quantize(row, quantized)
                    totals[column] = weights_word(_sum(quantized))
                    for n in range(len(words)):
                        columns[n, column] = words[n]
                else:
                    scales[column], totals[column] = np.float32(0), np.int32(0)
                    for n in range(len(words)):
                        columns[n, column] = word(0)

    return pack_weight


@compiled
def _read_row(weight_at, index, n_in, stored_as, row):
    """Convert a row of the weight to float32."""
    if stored_as == FLOAT16:
        halves = carray(pointer(weight_at + 2 * index * n_in, np.uint16), (n_in,))
        for n in range(n_in):
            row[n] = half_to_float32(halves[n])
    elif stored_as == BFLOAT16:
        bits = carray(pointer(weight_at + 2 * index * n_in, np.uint16), (n_in,))
        for n in range(n_in):
            row[n] = to_float32(bits[n])
    else:
        floats = carray(pointer(weight_at + 4 * index * n_in, np.float32), (n_in,))
        for n in range(n_in):
            row[n] = floats[n]


@compiled
def _quantize(row, quantized):
    """Write a row as signed 8-bit integers; return its scale."""
    magnitude = _MIN_MAGNITUDE
    for n in range(len(row)):
        magnitude = maximum(magnitude, abs(row[n]))
    factor = _MAX_INT8 / magnitude
    for n in range(len(row)):
        quantized[n] = np.int8(to_int32(np.rint(row[n] * factor)))
    return magnitude / _MAX_INT8


@compiled
def _sum(quantized):
    total = np.int32(0)
    for n in range(len(quantized)):
        total += np.int32(quantized[n])
    return total
