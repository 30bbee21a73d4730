"""The question which language a part of a window is in, and the answer. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PositionSpan:
    """Encoder positions of a window, from begin to before end. At least one."""

    begin: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageScores:
    """What the model says of one part of a window.

    logprobs: of each language token, normalised over the language tokens. no_speech_prob: 0 to 1.
    """

    logprobs: Mapping[int, float]
    no_speech_prob: float
