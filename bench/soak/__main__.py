"""Clients of all dialects for 20 minutes: no error, and the server's memory does not grow.

Run by `make soak`. The kinds of requests are in `kinds.py`: streams, jobs, beams, files of several windows, bad
requests, clients that disconnect. A server that refuses a request because of its load fails as well: all fit.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.engines.server import environment
from bench.recordings import short_clips, write_repeated
from bench.report import Bar
from bench.soak.client import Recordings
from bench.soak.driving import Soak, soak
from bench.soak.evaluation import KIND_COLUMNS, error_bar, kind_rows, log_bar, memory_bar, quarter_means
from bench.weights import MODELS
from tests.server import run_server

N_SHORT = 8
LONG_S = 75.0
WIDTH = 130  # characters
N_ERRORS_SHOWN = 10


def main() -> None:
    arguments = _parser().parse_args()
    console = Console(width=WIDTH)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        recordings = _recordings(arguments.speech, directory)
        url, pid, log = arguments.url, arguments.pid, None
        if url is None:
            settings = environment(
                max_concurrent_requests=2 * arguments.clients, max_queued_jobs=2 * arguments.clients
            )
            server = stack.enter_context(run_server("--model", arguments.model, env=settings))
            url, pid, log = server.url, server.process.pid, server.log
        result = soak(url, recordings, pid=pid, n_clients=arguments.clients, seconds=arguments.minutes * 60)
        bars = [error_bar(result.requests), memory_bar(result.memory_mib)]
        bars += [log_bar(log.read_text())] if log else []
    _show(console, result, bars, n_clients=arguments.clients)
    sys.exit(0 if all(bar.holds for bar in bars) else 1)


def _recordings(speech: Path, directory: Path) -> Recordings:
    """Return short clips, and one of LONG_S that is made of others."""
    paths = [clip.path for clip in short_clips(speech)]
    long = directory / "long.flac"
    write_repeated(paths[N_SHORT:], long, seconds=LONG_S)
    return Recordings(short=paths[:N_SHORT], long=long)


def _show(console: Console, result: Soak, bars: Sequence[Bar], *, n_clients: int) -> None:
    table = Table(*KIND_COLUMNS, title=f"{n_clients} clients, {len(result.memory_mib) / 60:.0f} minutes")
    for row in kind_rows(result.requests):
        table.add_row(*row)
    console.print(table)
    for error in [request for request in result.requests if request.error][:N_ERRORS_SHOWN]:
        console.print(f"{error.kind}: {error.error}", markup=False)
    if means := quarter_means(result.memory_mib):
        console.print(f"RSS, mean of each quarter in MiB: {', '.join(f'{mib:.0f}' for mib in means)}")
    for bar in bars:
        console.print(str(bar), markup=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--model", choices=MODELS, default=MODELS[0], help="the weights (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=20.0, help="default: %(default)s")
    parser.add_argument("--clients", type=int, default=32, help="at the same time (default: %(default)s)")
    parser.add_argument("--url", help="a server that runs already (default: one is started)")
    parser.add_argument("--pid", type=int, help="the process of that server, whose memory is measured")
    return parser


if __name__ == "__main__":
    main()
