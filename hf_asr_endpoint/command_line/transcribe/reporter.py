"""What is told of the work, and its words; `progress` and `bars` show them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from hf_asr_endpoint.command_line.transcribe.inputs import show_path
from hf_asr_endpoint.command_line.transcribe.outputs import Work
from hf_asr_endpoint.command_line.transcribe.totals import Outcome, Totals
from hf_asr_endpoint.types import Progress


class Reporter(Protocol):
    """Told of everything that happens to the recordings."""

    def wait(self, step: str) -> None:
        """Say what is being waited for before any recording is worked on. From any thread."""
        ...

    def begin(self, work: Work) -> None:
        """Say that a recording is being worked on."""
        ...

    def advance(self, work: Work, progress: Progress) -> None:
        """Say how far it is. From any thread."""
        ...

    def end(self, work: Work, outcome: Outcome) -> None:
        """Say what came of it."""
        ...


def describe(work: Work, outcome: Outcome) -> str:
    """Return what came of a recording, as a line."""
    if outcome.error is not None:
        return f"{work.recording.shown}: failed: {outcome.error}"
    names = ", ".join(
        "standard output" if target.path is None else show_path(Path(target.path.name)) for target in work.targets
    )
    arrow = f" → {names}" if names else ""
    return f"{work.recording.shown}: {outcome.audio_s:.1f} s{arrow}"


def describe_rate(totals: Totals) -> str:
    """Return how fast it goes and how long it still takes."""
    remaining_s = totals.remaining_s
    left = "" if remaining_s is None else f", {clock(remaining_s)} left"
    return f"{totals.speed:.1f} × real time{left}"


def clock(seconds: float) -> str:
    """Return minutes and seconds, and hours if there are any."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
