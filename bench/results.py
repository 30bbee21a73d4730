"""A comparison's results on disk: what `make bench ARGS="--out FILE"` writes and `make pictures` draws."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pydantic import TypeAdapter

from bench.report import Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Measurements in one run on one machine.

    title: the model and recordings. processor: its name and level. baseline: the label of this project's
    measurement; None where it was not run.
    """

    title: str
    processor: str
    day: date
    baseline: str | None
    measurements: tuple[Measurement, ...]

    def write(self, path: Path) -> None:
        path.write_bytes(_ADAPTER.dump_json(self, indent=1) + b"\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        """Raises OSError, ValidationError."""
        return _ADAPTER.validate_json(path.read_bytes())


_ADAPTER = TypeAdapter(Results)
