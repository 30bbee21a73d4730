"""Watches the process that decodes mutated files: after a crash or a hang, another one goes on behind the case."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.fuzz.audio_files import make_case
from tests.fuzz.findings import MAX_CASE_S, Report

START_TIMEOUT_S = 120.0  # to import the package and to make the files
MAX_ERROR_LINES = 20
WORKER = (sys.executable, "-m", "tests.fuzz.audio_worker")
PROGRESS = 5_000  # files between two lines of progress


def fuzz_audio(
    *, seed: int, n_files: int, deadline_s: float, folder: Path, worker: Sequence[str] = WORKER
) -> Report:
    """Decode cases 0 to `n_files` of a seed, until the deadline (of time.monotonic). folder: for what fails.

    worker: the command that decodes them, without its flags.
    """
    report, began_s = Report("audio", folder), time.monotonic()
    growths: list[float] = []
    index = 0
    while index < n_files and time.monotonic() < deadline_s:
        flags = ("--seed", str(seed), "--begin", str(index), "--end", str(n_files))
        with _Worker([*worker, *flags]) as process:
            index = _watch(process, report, growths, seed=seed, begin=index, end=n_files, deadline_s=deadline_s)
    report.note_growth(growths)
    report.duration_s = time.monotonic() - began_s
    return report


def _watch(
    worker: _Worker, report: Report, growths: list[float], *, seed: int, begin: int, end: int, deadline_s: float
) -> int:
    """Note what a worker says until it ends; return the index of the case after its last one."""
    current, sizes = begin, list[float]()
    try:
        for line in worker.lines():
            kind, _, rest = line.partition(" ")
            number, _, outcome = rest.partition(" ")
            if kind == "begin":
                current = int(number)
            elif kind == "end":
                report.outcomes[outcome] += 1
                current += 1
            elif kind == "failed":
                _fail(report, seed, current, json.loads(outcome), outcome="exception")
                current += 1
            elif kind == "rss":
                sizes.append(float(number))
            if kind == "end" and current % PROGRESS == 0:
                print(f"audio: {current:,}, {len(report.findings)} findings", flush=True)
            if kind == "end" and time.monotonic() > deadline_s:
                return current
    except TimeoutError:
        _fail(report, seed, current, f"it takes more than {MAX_CASE_S:.0f} s", outcome="hang")
        return current + 1
    if current < end:
        _fail(report, seed, current, f"the process ended with {worker.last_words()}", outcome="crash")
        return current + 1
    if len(sizes) == 2:
        growths.append(sizes[1] - sizes[0])
    return current


def _fail(report: Report, seed: int, index: int, what: str, *, outcome: str) -> None:
    case = make_case(seed, index)
    report.outcomes[outcome] += 1
    about = f"{case.name}, pcm {case.pcm}, track {case.audio_track}: {what}"
    report.add_finding(about, seed=seed, index=index, data=case.data)


class _Worker:
    """A process, and threads that read what it writes."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._errors: deque[str] = deque(maxlen=MAX_ERROR_LINES)
        self._threads = [threading.Thread(target=read) for read in (self._read_lines, self._read_errors)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # Only one that hangs, or whose time is over, is still there.
        self._process.wait()
        for thread in self._threads:
            thread.join()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()

    def last_words(self) -> str:
        """Return the status of a process that has ended, and the end of what it wrote to standard error."""
        status = self._process.wait()
        self._threads[1].join()
        return f"status {status}: {''.join(self._errors)}"

    def lines(self) -> Iterator[str]:
        """Yield the lines until the output ends. Raises TimeoutError for a pause that is too long."""
        limit_s = START_TIMEOUT_S
        while True:
            try:
                line = self._lines.get(timeout=limit_s)
            except queue.Empty:
                raise TimeoutError from None
            if line is None:
                return
            yield line
            limit_s = MAX_CASE_S

    def _read_lines(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        self._errors.extend(self._process.stderr)
