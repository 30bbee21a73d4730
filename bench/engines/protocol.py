"""What the bench asks of every engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Engine(Protocol):
    """Turns files into text, in English; reading and decoding the file is part of it."""

    def load(self) -> int:
        """Get ready. Returns the id of the process that holds the model."""

    def transcribe(self, path: Path) -> str:
        """Return what is said in one audio file."""

    def close(self) -> None:
        """End what `load` has started. May be called twice, and without `load`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What an engine is built from."""

    weights: str  # A path, or what `--model` of this project's server says.
    n_threads: int
    batch_size: int = 8  # windows; for engines that take it
    n_beams: int = 1
