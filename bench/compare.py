"""Speed, accuracy and memory of this project and its peers, with the same weights, recordings and threads.

Run by `make bench`. The engines run one after another, each in its own process; this project runs as its HTTP
server.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.accuracy import word_errors
from bench.engines.registry import BASELINE, ENGINES
from bench.levels import add_level_option, level_environment
from bench.machine import describe_processor
from bench.recordings import Clip, duration_s, long_clip, short_clips
from bench.report import COLUMNS, Measurement, SetResult, fastest, rows
from bench.results import Results
from bench.weights import MODELS, prepare
from bench.worker import first_line

WIDTH = 120  # characters
BUSY_LOAD = 0.5  # runnable processes, averaged over a minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The model, recordings and limits, the same for all engines."""

    model: str
    speech: Path
    n_clips: int | None
    n_threads: int
    n_beams: int


def main() -> None:
    arguments = _parser().parse_args()
    os.environ.update(level_environment(arguments.cpu_level))  # for the workers
    job = Job(
        model=arguments.model,
        speech=arguments.speech,
        n_clips=arguments.clips,
        n_threads=arguments.threads,
        n_beams=arguments.beams,
    )
    progress = Console(stderr=True)
    if (load := os.getloadavg()[0]) > BUSY_LOAD:
        progress.print(
            f"the machine is busy (load {load:.1f}): all rates will be too low, most of all whisper.cpp's"
        )
    measurements: dict[str, Measurement] = {}
    for engine in arguments.engines:
        with progress.status(f"measuring {engine}"):
            measurements[engine] = measure(engine, job)
    processor = describe_processor(arguments.cpu_level)
    table = Table(*COLUMNS, title=f"{_title(job)}\n{processor}", show_lines=True)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows(measurements.values(), baseline=measurements.get(BASELINE)):
        table.add_row(*row)
    table.caption = (
        f"ours: {ENGINES[BASELINE].label}. Peak RSS: VmHWM of the process with the model, for this project the "
        "server. Batched: in brackets the batch size that was fastest on the long file."
    )
    Console(width=WIDTH).print(table)
    if arguments.out:
        baseline = measurements.get(BASELINE)
        Results(
            title=_title(job),
            processor=processor,
            day=date.today(),
            baseline=baseline.label if baseline else None,
            measurements=tuple(measurements.values()),
        ).write(arguments.out)


def measure(engine: str, job: Job) -> Measurement:
    """Run an engine with each of its batch sizes. Return the fastest measurement."""
    kind = ENGINES[engine]
    try:
        weights = prepare(job.model, kind.weights)
    except Exception as exc:  # The failure of one engine must not stop the others.
        return Measurement(label=kind.label, error=first_line(exc))
    return fastest(
        [
            _measured(
                f"{kind.label} ({batch_size})" if len(kind.batch_sizes) > 1 else kind.label,
                run_worker(engine, job, weights=weights, batch_size=batch_size),
                job,
            )
            for batch_size in kind.batch_sizes
        ]
    )


def run_worker(engine: str, job: Job, *, weights: str, batch_size: int) -> dict[str, Any]:
    """Run `bench.worker`. Return its output, or an error in the same form."""
    command = [sys.executable, "-m", "bench.worker", engine, "--weights", weights, "--speech", str(job.speech)]
    command += ["--threads", str(job.n_threads), "--batch-size", str(batch_size), "--beams", str(job.n_beams)]
    if job.n_clips is not None:
        command += ["--clips", str(job.n_clips)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(job.n_threads)}
    # subprocess.run would kill the worker at Ctrl+C, but the worker must stop its server.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        output, errors = process.communicate()
    if process.returncode == 0:
        outcome: dict[str, Any] = json.loads(output.splitlines()[-1])
        return outcome
    last = errors.decode(errors="replace").strip().splitlines()[-1:] or ["no output"]
    return {"error": f"exit status {process.returncode}: {last[0]}"}


def _measured(label: str, outcome: dict[str, Any], job: Job) -> Measurement:
    if outcome["error"] is not None:
        return Measurement(label=label, error=outcome["error"])
    return Measurement(
        label=label,
        long=_set_result([long_clip(job.speech)], outcome["long"]),
        short=_set_result(short_clips(job.speech, limit=job.n_clips), outcome["short"]),
        peak_rss_mib=outcome["peak_rss_mib"],
    )


def _set_result(clips: Sequence[Clip], outcome: dict[str, Any]) -> SetResult:
    errors = word_errors([clip.reference for clip in clips], outcome["texts"])
    audio_s = sum(duration_s(clip.path) for clip in clips)
    return SetResult(rtfx=audio_s / outcome["seconds"], wer=errors.wer)


def _title(job: Job) -> str:
    n_clips = len(short_clips(job.speech, limit=job.n_clips))
    long_s = duration_s(long_clip(job.speech).path)
    search = "greedy" if job.n_beams == 1 else f"{job.n_beams} beams"
    return (
        f"{job.model}, {search}, English, {job.n_threads} threads: "
        f"a file of {long_s / 60:.1f} min, {n_clips} clips one after another"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--model", choices=MODELS, default=MODELS[0], help="the weights (default: %(default)s)")
    parser.add_argument(
        "--engines", type=_engines, default=list(ENGINES), metavar="A,B,…", help=f"some of {', '.join(ENGINES)}"
    )
    parser.add_argument("--clips", type=int, metavar="N", help="only the first N short clips")
    parser.add_argument(
        "--threads",
        type=int,
        default=os.cpu_count(),
        metavar="N",
        help="threads of each engine (default: %(default)s)",
    )
    parser.add_argument(
        "--beams", type=int, default=1, metavar="N", help="beams of each engine (default: 1, greedy)"
    )
    add_level_option(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the results as JSON, to be drawn")
    return parser


def _engines(names: str) -> list[str]:
    chosen = names.split(",")
    if unknown := sorted(set(chosen) - set(ENGINES)):
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not an engine; allowed: {', '.join(ENGINES)}")
    return chosen


if __name__ == "__main__":
    main()
