"""Runs phases in their own processes, each with a time limit, and writes their findings as lines of JSON.

Each phase has its own process, because an error on a GPU can make everything after it in the same process fail.
Imports no torch.
"""

from __future__ import annotations

import contextlib
import json
import math
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

MAX_FRAMES = 8  # of an exception's stack, from the innermost one
SIGNIFICANT_DIGITS = 5
SMALL_LIMIT_FACTOR = 6  # longer limits for small shapes, which are tried on slow machines


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What all phases are given.

    device: "cuda" or "cpu". is_small: try the script with small shapes and few repetitions. directory: the model
    in transformers' format. packed: the folder that it was unpacked from, which also has the clips. out: the file
    of lines. began: Unix time.
    """

    device: str
    is_small: bool
    directory: Path
    packed: Path
    out: Path
    began: float


class Log:
    """Writes a phase's lines to a file and to standard output."""

    def __init__(self, check: Check, phase: str) -> None:
        self._check, self._phase = check, phase

    def write(self, what: str, **figures: Any) -> None:
        at_s = round(time.time() - self._check.began, 1)
        line = {"phase": self._phase, "what": what, "at_s": at_s, **round_figures(figures)}
        text = json.dumps(line, ensure_ascii=False)
        with self._check.out.open("a") as file:
            file.write(f"{text}\n")
        print(text, flush=True)

    @contextmanager
    def part(self, what: str) -> Iterator[None]:
        """Write down an exception that a part of a phase raises, so that the phase continues."""
        try:
            yield
        except Exception as exc:
            self.write(what, error=describe_error(exc), stack=innermost_frames(exc))


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """limit_s: the phase is killed after this time."""

    name: str
    limit_s: float
    run: Callable[[Check, Log], None]


def run_groups(groups: Sequence[Sequence[Phase]], check: Check, *, limit_s: float) -> None:
    """Run groups of phases one after another, the phases of a group in parallel, for at most `limit_s`."""
    for group in groups:
        left_s = check.began + limit_s - time.time()
        if left_s <= 0:
            Log(check, "all").write("no time left", phases=[phase.name for phase in group])
            continue
        running = [(phase, _start(phase, check), time.time()) for phase in group]
        for phase, process, started in running:
            phase_limit_s = phase.limit_s * (SMALL_LIMIT_FACTOR if check.is_small else 1)
            _wait(process, Log(check, phase.name), started=started, limit_s=min(phase_limit_s, left_s))


def _start(phase: Phase, check: Check) -> BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=_run, args=(phase, check))
    process.start()
    return process


def _run(phase: Phase, check: Check) -> None:
    os.setsid()  # A new process group: killing it also kills the processes that the phase starts.
    log = Log(check, phase.name)
    with log.part("the whole phase"):
        phase.run(check, log)


def _wait(process: BaseProcess, log: Log, *, started: float, limit_s: float) -> None:
    process.join(max(0.0, started + limit_s - time.time()))
    is_cut_off = process.is_alive()
    if is_cut_off:
        if process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()
    log.write("end", seconds=time.time() - started, is_cut_off=is_cut_off, exit_status=process.exitcode)


def describe_error(exc: BaseException) -> str:
    """Return an exception's name and the first line of its message."""
    return f"{type(exc).__name__}: {(str(exc).strip().splitlines() or [''])[0]}"


def innermost_frames(exc: BaseException) -> list[str]:
    """Return an exception's stack from the innermost frame outwards."""
    frames = traceback.extract_tb(exc.__traceback__)[-MAX_FRAMES:]
    return [f"{shorten_path(frame.filename)}:{frame.lineno} {frame.line}" for frame in reversed(frames)]


def shorten_path(path: str) -> str:
    """Return a file's path, beginning with its package."""
    parts = Path(path).parts
    for folder in ("hf_asr_endpoint", "bench", "tests", "site-packages"):
        if folder in parts:
            return "/".join(parts[len(parts) - 1 - parts[::-1].index(folder) :])
    return parts[-1]


def round_figures(value: Any) -> Any:
    """Round floats to SIGNIFICANT_DIGITS, at any depth. Infinities and NaN become text, which JSON can hold."""
    match value:
        case bool():
            return value
        case float():
            return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else str(value)
        case dict():
            return {str(key): round_figures(item) for key, item in value.items()}
        case list() | tuple():
            return [round_figures(item) for item in value]
        case _:
            return value
