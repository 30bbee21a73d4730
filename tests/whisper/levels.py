"""Kernels for tests: of every level that this processor has."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from hf_asr_endpoint.whisper.kernels import Kernels
from hf_asr_endpoint.whisper.kernels.processor import LEVELS, Level, levels

HERE = levels()


def needs(level: Level) -> pytest.MarkDecorator:
    """Skip a test where the processor lacks a level."""
    return pytest.mark.skipif(level not in HERE, reason=f"this processor lacks {level}")


needs_kernels = pytest.mark.skipif(not HERE, reason="no kernels run on this processor")


@cache
def kernels_of(level: Level) -> Kernels:
    """Return a level's kernels. Each is compiled by the first test that uses it."""
    return Kernels(level, cache_dir=None)


def for_each_level(
    make: Callable[[Level], tuple[Any, ...]] = lambda level: (level,), *, suffix: str = ""
) -> list[Any]:
    """Return parameters for each level: what `make` returns for it. suffix: of the level's name in the test's."""
    return [pytest.param(*make(level), id=level + suffix, marks=needs(level)) for level in LEVELS]


every_level = pytest.mark.parametrize("level", for_each_level())
