"""How many jobs there may be, how long they are kept, and when a hopeless one is given up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLimits:
    """What jobs may ask of the server."""

    max_queued: int
    max_running: int
    max_audio_s: float
    retention_s: float
    """How long a job is known after its end, unless its delivery takes longer."""
    max_crashes: int
    """A job that was running when the process ended without a word, so many times, fails."""
    max_failures: int = 3
    """So does one at which the model failed so many times."""
