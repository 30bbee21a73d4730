"""What a file says of its own length, before it is decoded. Whoever opens the file tells."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class DeclaredLength:
    """seconds: None until it is told, and for a file that does not say. It may be wrong.

    at_least_s: how long the audio surely is; 0 until something is known.
    """

    seconds: float | None = None
    at_least_s: float = 0.0
