"""Proposals for the GPU path (issue 19): code that the engine does not have yet, measured before it is built.

Each part needs torch, and runs faster where Triton is installed. Only the modules named `*_kernel` and `*_kernels`
import Triton. `operations` chooses between Triton's kernels and torch's operators.
"""

from __future__ import annotations

import importlib.util

HAS_TRITON = importlib.util.find_spec("triton") is not None
