"""Runs one engine in this process and prints a line of JSON with its texts, times and peak memory.

Run by `bench.compare`, or by hand: `python -m bench.worker whisper.cpp --weights FILE --speech FOLDER`. Imports as
little as possible, so that the peak memory is the engine's own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.engines.protocol import Engine, EngineOptions
from bench.engines.registry import DEFAULT_BATCH_SIZE, ENGINES
from bench.peak_memory import peak_rss_mib
from bench.recordings import long_clip, short_clips


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcripts:
    """The texts of some recordings, transcribed one after another, and the time for all of them."""

    texts: list[str]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The output of a worker. After a failure there is only `error`."""

    short: Transcripts | None = None
    long: Transcripts | None = None
    peak_rss_mib: float | None = None
    error: str | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=list(ENGINES))
    parser.add_argument("--weights", required=True, help="the weights for the engine")
    parser.add_argument("--speech", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--clips", type=int, help="only the first N short clips", metavar="N")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of the engine")
    parser.add_argument("--batch-size", type=int, default=DEFAULT_BATCH_SIZE, help="for engines with batches")
    parser.add_argument("--beams", type=int, default=1, help="1 is greedy")
    arguments = parser.parse_args()
    options = EngineOptions(
        weights=arguments.weights,
        n_threads=arguments.threads,
        batch_size=arguments.batch_size,
        n_beams=arguments.beams,
    )
    engine = ENGINES[arguments.engine].build(options)
    short = [clip.path for clip in short_clips(arguments.speech, limit=arguments.clips)]
    with contextlib.redirect_stdout(sys.stderr):  # Standard output has only the result.
        try:
            outcome = measure(engine, short=short, long=long_clip(arguments.speech).path)
        except Exception as exc:  # Every error of an engine becomes its row of the table.
            outcome = Outcome(error=first_line(exc))
        finally:
            engine.close()
    print(json.dumps(asdict(outcome)))


def measure(engine: Engine, *, short: list[Path], long: Path) -> Outcome:
    """Load the engine and transcribe one clip to warm up. Then measure the clips and the long recording."""
    pid = engine.load()
    engine.transcribe(short[0])
    short_result, long_result = _transcribe(engine, short), _transcribe(engine, [long])
    return Outcome(short=short_result, long=long_result, peak_rss_mib=peak_rss_mib(pid))


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type without a message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _transcribe(engine: Engine, paths: Iterable[Path]) -> Transcripts:
    started = time.perf_counter()
    texts = [engine.transcribe(path) for path in paths]
    return Transcripts(texts=texts, seconds=time.perf_counter() - started)


if __name__ == "__main__":
    main()
