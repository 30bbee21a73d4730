"""AVX-512 with dot products of 8-bit integers (VNNI) but none of bfloat16: Cascade Lake, Ice Lake, Tiger Lake.

Activations are float32, because nothing else on such a processor computes in bfloat16. The encoder's attention
runs in pairs of 16-bit integers, by the same extension.
"""

from __future__ import annotations

import torch

from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.layout import ZERO_POINT, Layout
from hf_asr_endpoint.whisper.kernels.levels.assembly import (
    dot_bytes,
    dot_bytes_of_unsigned_columns,
    dot_pairs,
    exp2_by_scaling,
)

ISA = Isa(
    n_lanes=16,
    n_registers=32,
    layout=Layout(
        level="avx512-vnni",
        tile_rows=6,
        tile_columns=64,
        multiplies="bytes",
        zero_point=ZERO_POINT,
        attends="pairs",
        activations=torch.float32,
    ),
    dot_bytes=dot_bytes,
    dot_bytes_of_unsigned_columns=dot_bytes_of_unsigned_columns,
    dot_pairs=dot_pairs,
    exp2=exp2_by_scaling,
)
