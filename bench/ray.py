"""Servers on Ray beside a single one: how late the first words of a stream come, and what a second engine brings.

Every engine has one thread. Run by `make bench-ray`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import AbstractContextManager
from pathlib import Path

import requests
from rich.console import Console
from rich.table import Table

from bench.clients import Clips, drive, http_client
from bench.engines.server import REQUEST_TIMEOUT_S, environment
from bench.load_result import LoadResult
from bench.recordings import short_clips
from bench.weights import MODELS
from tests.server import Server, run_server

N_CLIENTS = 16
N_STREAMS = 15


def main() -> None:
    arguments = _parser().parse_args()
    console = Console(width=130)
    paths = [clip.path for clip in short_clips(arguments.speech)]
    console.print(_delta_table(arguments.model, paths[0]))
    console.print(_load_table(arguments.model, Clips.of(paths), seconds=arguments.seconds))


def run_single(model: str) -> AbstractContextManager[Server]:
    return run_server("--model", model, env={**environment(), "OMP_NUM_THREADS": "1"})


def run_on_ray(model: str, *, n_engines: int) -> AbstractContextManager[Server]:
    return run_server(
        *("--model", model, "--ray", "--ray-engine-replicas", str(n_engines), "--ray-engine-cpus", "1")
    )


def _delta_table(model: str, clip: Path) -> Table:
    with run_single(model) as single, run_on_ray(model, n_engines=1) as on_ray:
        servers = {"a single server": single, "on Ray": on_ray}
        times: dict[str, list[float]] = {name: [] for name in servers}
        for turn in range(N_STREAMS + 2):  # The first two warm up.
            for name, server in servers.items():
                first_s = first_delta_s(server, clip)
                if turn >= 2:
                    times[name].append(first_s)
    table = Table(
        "server", "first delta ms", "later ms", title=f"{clip.name}, median of {N_STREAMS} streams in turns"
    )
    base_s = statistics.median(times["a single server"])
    for name, found in times.items():
        median_s = statistics.median(found)
        table.add_row(name, f"{median_s * 1000:.0f}", f"{(median_s - base_s) * 1000:+.0f}")
    return table


def first_delta_s(server: Server, clip: Path) -> float:
    """Return the seconds from a request to the first words of its stream."""
    with clip.open("rb") as file:
        began = time.perf_counter()
        with requests.post(
            f"{server.url}/v1/audio/transcriptions",
            files={"file": file},
            data={"model": "whisper-1", "stream": "true", "language": "en"},
            stream=True,
            timeout=REQUEST_TIMEOUT_S,
        ) as answer:
            answer.raise_for_status()
            next(line for line in answer.iter_lines() if b"transcript.text.delta" in line)
            return time.perf_counter() - began


def _load_table(model: str, clips: Clips, *, seconds: float) -> Table:
    table = Table("engines on Ray", "audio s/s", "ratio", "p50 s", "errors")
    table.title = f"{len(clips.paths)} short clips, {N_CLIENTS} clients, {seconds:g} s"
    results: dict[int, LoadResult] = {}
    for n_engines in (1, 2):
        with run_on_ray(model, n_engines=n_engines) as server:
            drive(lambda: http_client(server.url), clips, n_clients=N_CLIENTS, seconds=5.0)  # warm-up
            results[n_engines] = drive(
                lambda: http_client(server.url), clips, n_clients=N_CLIENTS, seconds=seconds
            )
    for n_engines, result in results.items():
        ratio = result.audio_s_per_s / results[1].audio_s_per_s
        table.add_row(
            *(str(n_engines), f"{result.audio_s_per_s:.1f}", f"{ratio:.2f}"),
            *(f"{result.p50_s or 0:.2f}", str(result.n_errors)),
        )
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--model", choices=MODELS, default=MODELS[0], help="the weights (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="seconds for each number of engines (default: %(default)s)"
    )
    return parser


if __name__ == "__main__":
    main()
