"""Kernels for tests: of every level that this processor has.

With HF_ASR_TEST_EMULATED=1 (`make test-levels`) also of those that it lacks, see `emulation`.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hf_asr_endpoint.whisper.kernels import Kernels
from hf_asr_endpoint.whisper.kernels.processor import LEVELS, Level, levels
from tests.whisper.emulation import EMULATED, emulated

X86 = ("x86_64", "AMD64")

HERE = levels()

EMULATED_HERE = tuple(
    level
    for level in EMULATED
    if os.environ.get("HF_ASR_TEST_EMULATED") and HERE and level not in HERE and platform.machine() in X86
)


def needs(level: Level) -> pytest.MarkDecorator:
    """Skip a test where the processor lacks a level, unless it is emulated."""
    return pytest.mark.skipif(level not in HERE + EMULATED_HERE, reason=f"this processor lacks {level}")


needs_kernels = pytest.mark.skipif(not HERE, reason="no kernels run on this processor")


cache_dir: Path | None = None
"""Where the session's processes share compiled kernels. Set before the first test."""


@cache
def kernels_of(level: Level) -> Kernels:
    """Return a level's kernels. Each is compiled by the first test that uses it."""
    if level in EMULATED_HERE:
        return Kernels(level, cache_dir=None, isa=emulated(level))
    return Kernels(level, cache_dir=cache_dir)


def whole_words(level: Level, n_in: int) -> int:
    """Return a number of inputs, rounded up to one that a level's linear layers can have."""
    n_elements = kernels_of(level).layout.input_multiple
    return -(-n_in // n_elements) * n_elements


def for_each_level(
    make: Callable[[Level], tuple[Any, ...]] = lambda level: (level,), *, suffix: str = ""
) -> list[Any]:
    """Return parameters for each level: what `make` returns for it. suffix: of the level's name in the test's."""
    return [pytest.param(*make(level), id=level + suffix, marks=needs(level)) for level in LEVELS]


every_level = pytest.mark.parametrize("level", for_each_level())
