"""What an Arm processor reports of its instructions. Imports no numba."""

from __future__ import annotations

import ctypes
import platform
import sys

from hf_asr_endpoint.whisper.process import process_symbols

DOT_PRODUCT, INT8_MATRIX = "FEAT_DotProd", "FEAT_I8MM"
"""Arm's own names of `sdot` and `smmla`, see the Arm Architecture Reference Manual."""

# Of Linux, arch/arm64/include/uapi/asm/hwcap.h: an entry of the auxiliary vector, and a bit of it.
_AT_HWCAP, _AT_HWCAP2 = 16, 26
_LINUX_BITS = {DOT_PRODUCT: (_AT_HWCAP, 20), INT8_MATRIX: (_AT_HWCAP2, 13)}


def has_arm_feature(name: str) -> bool:
    """Say whether this is an Arm processor of 64 bits that reports a feature. False on Windows, unasked."""
    if platform.machine().lower() not in ("aarch64", "arm64"):
        return False
    if sys.platform == "linux":
        return _linux_reports(name)
    return sys.platform == "darwin" and _macos_reports(name)


def _linux_reports(name: str) -> bool:
    entry, bit = _LINUX_BITS[name]
    symbols = process_symbols()
    assert symbols is not None
    symbols.getauxval.argtypes, symbols.getauxval.restype = (ctypes.c_ulong,), ctypes.c_ulong
    return bool(symbols.getauxval(entry) >> bit & 1)


def _macos_reports(name: str) -> bool:
    """Ask for `hw.optional.arm.NAME`, which is 1 where the feature is there, and missing in older systems."""
    symbols = process_symbols()
    assert symbols is not None
    value, size = ctypes.c_int(0), ctypes.c_size_t(ctypes.sizeof(ctypes.c_int))
    key = f"hw.optional.arm.{name}".encode()
    failed = symbols.sysctlbyname(key, ctypes.byref(value), ctypes.byref(size), None, ctypes.c_size_t(0))
    return not failed and value.value == 1
