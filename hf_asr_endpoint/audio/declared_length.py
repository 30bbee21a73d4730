"""What a file says of its own length, before it is decoded. Whoever opens the file tells; it may be wrong,
unless the last sample is there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class DeclaredLength:
    """seconds: None until it is told, and for a file that does not say. is_certain: the last sample was seen."""

    seconds: float | None = None
    is_certain: bool = False
