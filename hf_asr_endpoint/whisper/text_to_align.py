"""What the decoder is asked to find again in a window that a slot holds.

Knows token ids only. Imports no torch, so that whoever schedules these need not either.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TextToAlign:
    """Text that was heard in a window.

    prompt: sot [language, task] no_timestamps. tokens: text tokens, at least one, without timestamps.
    n_positions: encoder positions, from the first one on, that hold audio; padding follows them.
    """

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    n_positions: int
