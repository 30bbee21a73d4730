"""Runs one engine in this process and prints one JSON line: what it heard, how long that took.

Started by `bench.compare`; by hand: `python -m bench.worker whisper.cpp --weights FILE --speech FOLDER`.
Nothing else is imported here, so that the peak memory is the engine's own.
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
class Heard:
    """What an engine made of some recordings, one after another."""

    texts: list[str]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a worker prints. A failure leaves the measured values away."""

    short: Heard | None = None
    long: Heard | None = None
    peak_rss_mib: float | None = None
    error: str | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=list(ENGINES))
    parser.add_argument("--weights", required=True, help="what the engine loads")
    parser.add_argument("--speech", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--clips", type=int, help="only so many short clips")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of the engine")
    parser.add_argument("--batch-size", type=int, default=DEFAULT_BATCH_SIZE, help="for engines that take it")
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
    with contextlib.redirect_stdout(sys.stderr):  # Only the result goes to standard output.
        try:
            outcome = measure(engine, short=short, long=long_clip(arguments.speech).path)
        except Exception as exc:  # Whatever a foreign engine raises becomes its row of the table.
            outcome = Outcome(error=first_line(exc))
        finally:
            engine.close()
    print(json.dumps(asdict(outcome)))


def measure(engine: Engine, *, short: list[Path], long: Path) -> Outcome:
    """Load the engine, warm it up with one clip, then time the clips and the long recording."""
    pid = engine.load()
    engine.transcribe(short[0])
    heard_short, heard_long = _listen(engine, short), _listen(engine, [long])
    return Outcome(short=heard_short, long=heard_long, peak_rss_mib=peak_rss_mib(pid))


def first_line(error: Exception) -> str:
    """Return what an error says first, or what it is when it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _listen(engine: Engine, paths: Iterable[Path]) -> Heard:
    started = time.perf_counter()
    texts = [engine.transcribe(path) for path in paths]
    return Heard(texts=texts, seconds=time.perf_counter() - started)


if __name__ == "__main__":
    main()
