"""Time to start and peak memory of the server's process."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import requests

from bench.engines.server import environment, post
from bench.peak_memory import peak_rss_mib
from bench.recordings import write_repeated
from tests.server import run_server

N_STARTS = 3
MARGIN_S = 60.0  # The limit on audio is this much longer than the file.


@dataclass(frozen=True, slots=True, kw_only=True)
class LongFile:
    """One recording sent to a new server. Memory is VmHWM of the server's process."""

    audio_s: float
    elapsed_s: float
    ready_mib: float | None
    peak_mib: float | None


def startup_s(model: str, dtype: str) -> float:
    """Return the median time from the start of the process until GET /health answers 200, with a warm cache."""
    times = []
    for _ in range(1 + N_STARTS):  # The first start warms the cache.
        started = time.perf_counter()
        with run_server("--model", model, env=environment(dtype=dtype)):
            times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def long_file(model: str, dtype: str, *, sources: Sequence[Path], seconds: float) -> LongFile:
    """Post a file of `seconds`, made of `sources`, to a new server whose limits allow it."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "long.flac"
        write_repeated(sources, path, seconds=seconds)
        limits = environment(dtype=dtype, max_audio_bytes=path.stat().st_size + 1, max_audio_s=seconds + MARGIN_S)
        with run_server("--model", model, env=limits) as server, path.open("rb") as file:
            ready_mib = peak_rss_mib(server.process.pid)
            started = time.perf_counter()
            post(requests.Session(), server.url, file)
            elapsed_s = time.perf_counter() - started
            return LongFile(
                audio_s=seconds,
                elapsed_s=elapsed_s,
                ready_mib=ready_mib,
                peak_mib=peak_rss_mib(server.process.pid),
            )
