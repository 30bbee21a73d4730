"""Shows how far the work is: bars on a terminal, and lines everywhere else. On stderr: stdout is for texts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hf_asr_endpoint.command_line.transcribe.outputs import Work
from hf_asr_endpoint.command_line.transcribe.reporter import Reporter, describe, describe_rate
from hf_asr_endpoint.command_line.transcribe.totals import Outcome, Totals
from hf_asr_endpoint.types import Progress


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


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
