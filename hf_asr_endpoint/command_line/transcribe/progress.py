"""Tells how far the work is: bars on a terminal, and lines everywhere else. On stderr: stdout is for texts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

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


@contextmanager
def open_reporter(totals: Totals) -> Iterator[Reporter]:
    """Return the reporter for this process's stderr."""
    if not sys.stderr.isatty():
        yield LineReporter(totals)
        return
    # Imported here, because a process without a terminal shows no bars.
    from hf_asr_endpoint.command_line.transcribe.bars import BarReporter

    with BarReporter(totals) as reporter:
        yield reporter


class LineReporter:
    """A line for each recording when it has ended."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals

    def wait(self, step: str) -> None:
        _print(f"waiting for {step}")

    def begin(self, work: Work) -> None:
        self._totals.begin(work)

    def advance(self, work: Work, progress: Progress) -> None:
        self._totals.advance(work, progress)

    def end(self, work: Work, outcome: Outcome) -> None:
        self._totals.end(work, outcome)
        totals = self._totals
        _print(f"[{totals.n_ended}/{totals.n_files}] {describe(work, outcome)} ({describe_rate(totals)})")


def describe(work: Work, outcome: Outcome) -> str:
    """Return what came of a recording, as a line."""
    if outcome.error is not None:
        return f"{work.recording.shown}: failed: {outcome.error}"
    names = ", ".join("standard output" if target.path is None else target.path.name for target in work.targets)
    return f"{work.recording.shown}: {outcome.audio_s:.1f} s → {names}"


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


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
