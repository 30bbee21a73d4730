"""The protocol of all engines in the benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Engine(Protocol):
    """Transcribes English audio files, including reading and decoding them."""

    def load(self) -> int:
        """Load the model. Return the id of the process that has it."""

    def transcribe(self, path: Path) -> str:
        """Return the text of one audio file."""

    def close(self) -> None:
        """Release what `load` created. May be called twice, and without `load`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """The options of an engine."""

    weights: str  # a path, or the value of --model for this project
    n_threads: int
    batch_size: int = 8  # in windows, for engines with batches
    n_beams: int = 1
