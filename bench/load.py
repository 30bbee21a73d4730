"""The server under load: several clients, short clips during a long file, memory and time to start.

Run by `make bench-load`. Without --long and --memory it prints the table of several clients.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.clients import Clips, drive, http_client
from bench.engines.server import environment
from bench.fairness import measure_fairness
from bench.levels import add_level_option, level_environment
from bench.load_result import LOAD_COLUMNS, LoadResult, load_row
from bench.machine import describe_processor
from bench.memory import long_file, startup_s
from bench.recordings import duration_s, long_clip, short_clips, write_repeated
from bench.report import NO_VALUE, ratio
from bench.weights import MODELS, prepare
from tests.server import run_server

CLIENTS = (1, 4, 16, 64)
LONG_S = 30 * 60.0
MEMORY_S = (10 * 60, 5 * 3600)
SHORT_S = 10.0  # the preferred duration of the clip that is sent during the long file
PEER_WORKERS = (1, 2)
CAPTION = (
    "TTFB: time to first byte; requests of a client: minimum … maximum; "
    "in brackets: num_workers, the faster of 1 and 2"
)
WIDTH = 130  # characters


def main() -> None:
    arguments = _parser().parse_args()
    os.environ.update(level_environment(arguments.cpu_level))  # for servers and the peer
    clients = arguments.clients or (() if arguments.long or arguments.memory else CLIENTS)
    console = Console(width=WIDTH)
    if clients:
        console.print(_clients_table(arguments, clients))
    if arguments.long:
        console.print(_long_table(arguments))
    if arguments.memory:
        console.print(_memory_table(arguments))


def _clients_table(arguments: argparse.Namespace, clients: Sequence[int]) -> Table:
    clips = Clips.of([clip.path for clip in short_clips(arguments.speech)])
    settings = environment(
        engine=arguments.engine, dtype=arguments.dtype, max_concurrent_requests=2 * max(clients)
    )
    with run_server("--model", arguments.model, env=settings) as server:
        http_client(server.url)(clips.paths[0])  # warm-up
        ours = [
            drive(lambda: http_client(server.url), clips, n_clients=n_clients, seconds=arguments.seconds)
            for n_clients in clients
        ]
    peers = _fastest_peers(arguments, clients) if arguments.peer else []
    gain = ratio(ours[-1].audio_s_per_s, ours[0].audio_s_per_s)
    table = Table(
        title=f"{arguments.model}, engine {arguments.engine}: {len(clips.paths)} short clips, "
        f"{arguments.seconds:g} s and requests in flight; {clients[-1]} clients ÷ {clients[0]}: {gain}; "
        f"{describe_processor(arguments.cpu_level)}"
    )
    for name in LOAD_COLUMNS:
        table.add_column(name, justify="left" if name == "engine" else "right", no_wrap=True)
    for i, result in enumerate(ours):
        table.add_row(*load_row(f"this project, {arguments.dtype}", result, ours=result))
        if peers:
            label, peer = peers[i]
            table.add_row(*load_row(label, peer, ours=result))
    errors = [result.first_error for result in ours if result.first_error]
    table.caption = "\n".join((CAPTION, *(f"first error: {error}" for error in errors[:1])))
    return table


def _fastest_peers(arguments: argparse.Namespace, clients: Sequence[int]) -> list[tuple[str, LoadResult]]:
    """Return the faster of faster-whisper's numbers of workers for each number of clients."""
    weights = prepare(arguments.model, "ctranslate2")
    tried = []
    for n_workers in PEER_WORKERS:
        command = [sys.executable, "-m", "bench.load_peer", "--weights", weights]
        command += ["--speech", str(arguments.speech), "--seconds", str(arguments.seconds)]
        command += ["--workers", str(n_workers), "--threads", str(arguments.threads)]
        command += ["--clients", *map(str, clients)]
        output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        results = (LoadResult(**result) for result in json.loads(output.splitlines()[-1]))
        tried.append([(f"faster-whisper, int8 ({n_workers})", result) for result in results])
    return [max(same, key=lambda row: row[1].audio_s_per_s) for same in zip(*tried, strict=True)]


def _long_table(arguments: argparse.Namespace) -> Table:
    short = min(
        (clip.path for clip in short_clips(arguments.speech)), key=lambda path: abs(duration_s(path) - SHORT_S)
    )
    with tempfile.TemporaryDirectory() as directory:
        long = Path(directory) / "long.flac"
        write_repeated([long_clip(arguments.speech).path], long, seconds=arguments.long)
        with run_server("--model", arguments.model, env=environment(dtype=arguments.dtype)) as server:
            result = measure_fairness(server.url, short=short, long=long)
    table = Table("", "median latency s", "requests", title=f"a clip of {duration_s(short):.1f} s")
    table.add_row("on the idle server", f"{result.idle_s:.2f}", "")
    during = f"during a file of {arguments.long / 60:g} min ({arguments.long / result.long_s:.1f} × real time)"
    table.add_row(during, f"{result.during_s:.2f}", str(result.n_during))
    table.add_row("ratio", ratio(result.during_s, result.idle_s), "")
    return table


def _memory_table(arguments: argparse.Namespace) -> Table:
    ready_s = startup_s(arguments.model, arguments.dtype)
    sources = [clip.path for clip in short_clips(arguments.speech)]
    table = Table("file", "× real time", "RSS when ready MiB", "peak RSS MiB")
    table.title = f"a fresh server for each file; ready {ready_s:.1f} s after its start"
    table.caption = "RSS: VmHWM of the server's process"
    for seconds in arguments.memory:
        result = long_file(arguments.model, arguments.dtype, sources=sources, seconds=seconds)
        memory = (NO_VALUE if mib is None else f"{mib:.0f}" for mib in (result.ready_mib, result.peak_mib))
        table.add_row(f"{seconds / 60:g} min", f"{result.audio_s / result.elapsed_s:.1f}", *memory)
    return table


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--model", choices=MODELS, default=MODELS[0], help="the weights (default: %(default)s)")
    parser.add_argument("--engine", default="auto", help="engine of the server (default: %(default)s)")
    parser.add_argument("--dtype", default="auto", help="dtype of the server (default: %(default)s)")
    parser.add_argument(
        "--clients", type=_numbers, metavar="N,N,…", help="numbers of clients (default: 1,4,16,64)"
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="seconds for each number of clients (default: %(default)s)"
    )
    parser.add_argument("--peer", action="store_true", help="also measure faster-whisper int8, without HTTP")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="threads of the peer (default: %(default)s)"
    )
    add_level_option(parser)
    parser.add_argument(
        "--long",
        type=float,
        nargs="?",
        const=LONG_S,
        metavar="SECONDS",
        help="latency of a short clip during a file of this length",
    )
    parser.add_argument(
        "--memory",
        type=_numbers,
        nargs="?",
        const=MEMORY_S,
        metavar="SECONDS,…",
        help="peak memory for files of these lengths (default: 10 minutes and 5 hours), and time to start",
    )
    return parser


if __name__ == "__main__":
    main()
