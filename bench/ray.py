"""Servers on Ray beside a single one: how late the first words of a stream come, and what a second engine brings.

Every engine has one thread. Under load it is kept on one core: it prepares recordings in other threads, which
would use a part of the other one. Run by `make bench-ray`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests
from rich.console import Console
from rich.table import Table

from bench.clients import Clips, drive, http_client
from bench.engines.server import REQUEST_TIMEOUT_S, environment
from bench.levels import add_level_option, level_environment
from bench.load_result import LoadResult
from bench.recordings import short_clips
from bench.weights import MODELS
from tests.server import Server, run_server

N_CLIENTS = 32
N_STREAMS = 15
ENGINE_PROCESS = "ray::ServeReplica:hf-asr:engine-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A round under load, and how many cores Ray's processes kept busy."""

    result: LoadResult
    engine_cores: float
    other_cores: float


def main() -> None:
    arguments = _parser().parse_args()
    os.environ.update(level_environment(arguments.cpu_level))  # for servers
    console = Console(width=130)
    paths = [clip.path for clip in short_clips(arguments.speech)]
    console.print(_delta_table(arguments.model, paths[0]))
    console.print(
        _load_table(arguments.model, Clips.of(paths), seconds=arguments.seconds, rounds=arguments.rounds)
    )


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


def _load_table(model: str, clips: Clips, *, seconds: float, rounds: int) -> Table:
    table = Table("engines on Ray", "audio s/s", "ratio", "p50 s", "errors", "cores: engines", "others", "rounds")
    table.title = (
        f"{len(clips.paths)} short clips, {N_CLIENTS} clients, medians of {rounds} rounds of {seconds:g} s"
    )
    table.caption = "cores: busy with Ray's processes meanwhile; the clients use the same ones"
    loads: dict[int, list[Load]] = {}
    for _ in range(rounds):
        for n_engines in (1, 2):
            with run_on_ray(model, n_engines=n_engines) as server:
                _keep_on_one_core_each(server)
                drive(lambda: http_client(server.url), clips, n_clients=N_CLIENTS, seconds=5.0)  # warm-up
                loads.setdefault(n_engines, []).append(_load(server, clips, seconds=seconds))
    one_per_s = statistics.median(load.result.audio_s_per_s for load in loads[1])
    for n_engines, found in loads.items():
        per_s = [load.result.audio_s_per_s for load in found]
        table.add_row(
            *(str(n_engines), f"{statistics.median(per_s):.1f}", f"{statistics.median(per_s) / one_per_s:.2f}"),
            f"{statistics.median(load.result.p50_s or 0 for load in found):.2f}",
            str(sum(load.result.n_errors for load in found)),
            f"{statistics.median(load.engine_cores for load in found):.2f}",
            f"{statistics.median(load.other_cores for load in found):.2f}",
            ", ".join(f"{rate:.1f}" for rate in per_s),
        )
    return table


def _load(server: Server, clips: Clips, *, seconds: float) -> Load:
    began, before = time.perf_counter(), _processor_s(server)
    result = drive(lambda: http_client(server.url), clips, n_clients=N_CLIENTS, seconds=seconds)
    elapsed_s, after = time.perf_counter() - began, _processor_s(server)
    engines, others = ((late - early) / elapsed_s for early, late in zip(before, after, strict=True))
    return Load(result=result, engine_cores=engines, other_cores=others)


def _processor_s(server: Server) -> tuple[float, float]:
    """Return the processor time of the engines' processes, and of all others of the server, in seconds."""
    engines_s = others_s = 0.0
    for process, is_engine in _processes(server):
        used = process.cpu_times()
        if is_engine:
            engines_s += used.user + used.system
        else:
            others_s += used.user + used.system
    return engines_s, others_s


def _keep_on_one_core_each(server: Server) -> None:
    """Give every engine a core of its own, as far as there are as many."""
    cores = sorted(os.sched_getaffinity(0))
    engines = [process for process, is_engine in _processes(server) if is_engine]
    for index, process in enumerate(engines):
        for thread in process.threads():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(thread.id, {cores[index % len(cores)]})


def _processes(server: Server) -> Iterator[tuple[psutil.Process, bool]]:
    """Yield the processes of a server on Ray that live, and whether each is an engine."""
    for process in psutil.Process(server.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            yield process, ENGINE_PROCESS in " ".join(process.cmdline())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--model", choices=MODELS, default=MODELS[0], help="the weights (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of load in each round (default: %(default)s)")
    add_level_option(parser)
    parser.add_argument("--rounds", type=int, default=3, help="for each number of engines (default: %(default)s)")
    return parser


if __name__ == "__main__":
    main()
