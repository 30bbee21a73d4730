"""A folder of short clips: the command line beside the server at its best number of clients.

`hf-asr transcribe` says its own rate, from when the model is loaded. The server's clients send the same clips,
each once. Run by `make bench-folder`.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.clients import http_client
from bench.engines.server import environment
from bench.recordings import duration_s, short_clips
from bench.weights import MODELS
from tests.server import run_server

CLIENTS = (16, 24, 32)
RATE = re.compile(r"([\d.]+) × real time\s*$")


def main() -> None:
    arguments = _parser().parse_args()
    clips = [clip.path for clip in short_clips(arguments.speech)]
    seconds = sum(duration_s(clip) for clip in clips)
    rates: dict[str, list[float]] = {}
    for _ in range(arguments.rounds):
        rates.setdefault("hf-asr transcribe", []).append(command_line_rate(arguments.model, clips))
        settings = environment(max_concurrent_requests=2 * max(CLIENTS))
        with run_server("--model", arguments.model, env=settings) as server:
            http_client(server.url)(clips[0])  # warm-up
            for n_clients in CLIENTS:
                elapsed_s = server_s(server.url, clips, n_clients=n_clients)
                rates.setdefault(f"server, {n_clients} clients", []).append(seconds / elapsed_s)
    medians = {name: statistics.median(found) for name, found in rates.items()}
    best = max(rate for name, rate in medians.items() if name.startswith("server"))
    table = Table("", "× real time", "of the server's best", "rounds")
    table.title = f"{len(clips)} clips, {seconds:.0f} s, medians of {arguments.rounds} rounds"
    for name, rate in medians.items():
        rounds = ", ".join(f"{found:.1f}" for found in rates[name])
        table.add_row(name, f"{rate:.1f}", f"{rate / best:.2f}", rounds)
    Console(width=110).print(table)


def command_line_rate(model: str, clips: Sequence[Path]) -> float:
    """Return how many seconds of audio `hf-asr transcribe` transcribes in a second."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hf_asr_endpoint", "transcribe", *map(str, clips)]
        command += ["--output", folder, "--model", model, "--language", "en"]
        ended = subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True)
    found = RATE.search(ended.stderr)
    if found is None:
        raise RuntimeError(f"no rate in the last line of hf-asr transcribe:\n{ended.stderr}")
    return float(found[1])


def server_s(url: str, clips: Sequence[Path], *, n_clients: int) -> float:
    """Return how many seconds the server takes for all clips, from `n_clients`. Raises RuntimeError."""
    local = threading.local()

    def send(path: Path) -> None:
        if not hasattr(local, "send"):
            local.send = http_client(url)
        local.send(path)

    began = time.perf_counter()
    with ThreadPoolExecutor(n_clients) as pool:
        list(pool.map(send, clips))
    return time.perf_counter() - began


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--model", choices=MODELS, default=MODELS[0], help="the weights (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often all is measured (default: %(default)s)")
    return parser


if __name__ == "__main__":
    main()
