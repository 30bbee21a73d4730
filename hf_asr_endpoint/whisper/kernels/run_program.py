"""Kernels one after another on the same threads: a launch for all of them instead of one for each.

data: the address of a table, int64, shape = (n_calls, 2), with the addresses of a kernel and of its data; n_calls.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from hf_asr_endpoint.whisper.kernels.scalar import pointer, wait_for_threads


@intrinsic
def _call_kernel(typing: Any, kernel_at: Any, data_at: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data_type = ir.IntType(64).as_pointer()
        kernel_type = ir.FunctionType(ir.VoidType(), [data_type]).as_pointer()
        builder.call(builder.inttoptr(args[0], kernel_type), [builder.inttoptr(args[1], data_type)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


def run_program(data):
    """The kernel. For runtimes with a barrier, which call a kernel with its data alone."""
    args = carray(data, (2,))
    calls = carray(pointer(args[0], np.int64), (args[1], 2))
    for call in range(args[1]):
        _call_kernel(calls[call, 0], calls[call, 1])
        wait_for_threads()
