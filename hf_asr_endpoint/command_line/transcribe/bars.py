"""Progress on a terminal: a bar for each recording that is being worked on, and one for all."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

from hf_asr_endpoint.command_line.transcribe.inputs import show_path
from hf_asr_endpoint.command_line.transcribe.outputs import Work
from hf_asr_endpoint.command_line.transcribe.reporter import clock, describe, describe_rate
from hf_asr_endpoint.command_line.transcribe.totals import Outcome, Totals
from hf_asr_endpoint.types import Progress

REFRESHES_PER_S = 4  # Drawing takes time from the engine.
OTHER_ROWS = 3
"""Of the terminal, besides those of recordings: the total, and what a shell shows."""


class BarReporter:
    """A Reporter, while its context is open. What has ended scrolls away above the bars."""

    def __init__(self, totals: Totals, console: Console | None = None) -> None:
        self._totals = totals
        self._console = console or Console(stderr=True)
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=Column(ratio=2, no_wrap=True)),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            TextColumn("{task.fields[state]}", markup=False, table_column=Column(ratio=2, no_wrap=True)),
            console=self._console,
            refresh_per_second=REFRESHES_PER_S,
            transient=True,
            expand=True,
        )
        self._total = self._bars.add_task("starting", total=None, state="")
        self._tasks: dict[Work, TaskID] = {}

    def __enter__(self) -> BarReporter:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bars.stop()

    def wait(self, step: str) -> None:
        self._bars.update(self._total, description=f"waiting for {step}")

    def begin(self, work: Work) -> None:
        self._totals.begin(work)
        n_visible = sum(task.visible for task in self._bars.tasks)
        self._tasks[work] = self._bars.add_task(
            show_path(work.recording.relative),  # Of a long path the end would be cut off.
            total=None,
            state="",
            visible=n_visible < self._console.height - OTHER_ROWS,
        )
        self._show_total()

    def advance(self, work: Work, progress: Progress) -> None:
        self._totals.advance(work, progress)
        if (task := self._tasks.get(work)) is not None:
            length = "" if progress.length_s is None else f" of {clock(progress.length_s)}"
            state = f"{clock(progress.done_s)}{length}"
            self._bars.update(task, completed=progress.done_s, total=progress.length_s, state=state)
        self._show_total()

    def end(self, work: Work, outcome: Outcome) -> None:
        self._totals.end(work, outcome)
        self._bars.remove_task(self._tasks.pop(work))
        if hidden := [task for task in self._bars.tasks if not task.visible]:
            self._bars.update(hidden[0].id, visible=True)
        style = "red" if outcome.error is not None else ""
        self._console.print(Text(describe(work, outcome), style=style))
        self._show_total()

    def _show_total(self) -> None:
        totals = self._totals
        self._bars.update(
            self._total,
            description=f"{totals.n_ended} of {totals.n_files} files",
            completed=totals.fraction,
            total=1.0,
            state=describe_rate(totals),
        )
