"""What an Arm processor reports, asked as Linux and macOS answer."""

from __future__ import annotations

import ctypes
import platform
import sys
from typing import Any

import pytest

from hf_asr_endpoint.whisper.kernels import arm_features
from hf_asr_endpoint.whisper.kernels.arm_features import DOT_PRODUCT, INT8_MATRIX, has_arm_feature

IS_ARM_LINUX = sys.platform == "linux" and platform.machine() == "aarch64"


class LinuxSymbols:
    """AT_HWCAP is 16, with dot products in bit 20; AT_HWCAP2 is 26, with matrices in bit 13."""

    def __init__(self, **entries: int) -> None:
        self._entries = entries

        def getauxval(entry: int) -> int:
            return self._entries.get(f"entry_{entry}", 0)

        self.getauxval = getauxval


class MacSymbols:
    """Has `sysctlbyname`, which returns -1 for a name that it does not know."""

    def __init__(self, **values: int) -> None:
        self._values = {f"hw.optional.arm.{name}": value for name, value in values.items()}

    def sysctlbyname(self, name: bytes, value: Any, size: Any, new: None, new_size: ctypes.c_size_t) -> int:
        if name.decode() not in self._values:
            return -1
        value._obj.value = self._values[name.decode()]
        return 0


ALL_BUT = 0xFFFF_FFFF


@pytest.mark.parametrize(
    ("system", "machine", "symbols", "expected"),
    [
        ("linux", "aarch64", LinuxSymbols(entry_16=1 << 20), {DOT_PRODUCT}),
        ("linux", "aarch64", LinuxSymbols(entry_16=1 << 20, entry_26=1 << 13), {DOT_PRODUCT, INT8_MATRIX}),
        ("linux", "aarch64", LinuxSymbols(entry_16=ALL_BUT ^ 1 << 20, entry_26=ALL_BUT ^ 1 << 13), set()),
        ("linux", "x86_64", LinuxSymbols(entry_16=ALL_BUT, entry_26=ALL_BUT), set()),
        ("linux", "armv7l", LinuxSymbols(entry_16=ALL_BUT, entry_26=ALL_BUT), set()),
        ("darwin", "arm64", MacSymbols(FEAT_DotProd=1, FEAT_I8MM=0), {DOT_PRODUCT}),
        ("darwin", "arm64", MacSymbols(FEAT_DotProd=1, FEAT_I8MM=1), {DOT_PRODUCT, INT8_MATRIX}),
        ("darwin", "arm64", MacSymbols(), set()),
        ("darwin", "x86_64", MacSymbols(FEAT_DotProd=1), set()),
        ("win32", "ARM64", None, set()),
    ],
)
def test_features_that_the_system_reports(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, symbols: Any, expected: set[str]
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(arm_features, "process_symbols", lambda: symbols)
    assert {name for name in (DOT_PRODUCT, INT8_MATRIX) if has_arm_feature(name)} == expected


@pytest.mark.skipif(not IS_ARM_LINUX, reason="needs Linux on an Arm processor")
def test_this_processor_reports_what_the_kernel_lists() -> None:
    with open("/proc/self/auxv", "rb") as file:
        entries = memoryview(file.read()).cast("N")
    reported = dict(zip(entries[::2], entries[1::2], strict=True))
    assert has_arm_feature(DOT_PRODUCT) == bool(reported[16] >> 20 & 1)
    assert has_arm_feature(INT8_MATRIX) == bool(reported[26] >> 13 & 1)
