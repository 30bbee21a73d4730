"""What finds speech in a recording, as those who cut it see it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from hf_asr_endpoint.types import Waveform

N_STEP_SAMPLES = 512  # samples that one probability is for: 32 ms

Probabilities = npt.NDArray[np.float32]
"""One speech probability for each step, shape = (n_steps,)."""


class SpeechStream(Protocol):
    """Collects one recording: `push` blocks of any length, then `finish` once."""

    def push(self, block: Waveform) -> Probabilities:
        """Take samples, return the probabilities of the steps that are complete now (maybe none)."""
        ...

    def finish(self) -> Probabilities:
        """Return the probability of the last step, padded with zeros, when it was not complete."""
        ...


class SpeechDetector(Protocol):
    """Threads may share it."""

    def stream(self) -> SpeechStream:
        """Begin a recording."""
        ...
