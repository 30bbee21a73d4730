"""Whether a short clip waits for a long recording."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.clients import Send, http_client

N_IDLE_REQUESTS = 10
HEAD_START_S = 1.0  # enough to upload the long file and start its transcription


@dataclass(frozen=True, slots=True, kw_only=True)
class Fairness:
    """The median latency of a short clip on the idle server and during a long file, in seconds."""

    idle_s: float
    during_s: float
    n_during: int  # requests
    long_s: float  # the latency of the long file


def measure_fairness(url: str, *, short: Path, long: Path) -> Fairness:
    """Post `short` repeatedly, first to the idle server, then while it transcribes `long`."""
    send = http_client(url)
    send(short)  # warm-up
    idle = [_seconds(send, short) for _ in range(N_IDLE_REQUESTS)]
    with ThreadPoolExecutor(1) as pool:
        in_flight = pool.submit(_seconds, http_client(url), long)
        time.sleep(HEAD_START_S)
        # The last request may end on the idle server. Without it, a clip that waits until the end would not count.
        during = [_seconds(send, short)]
        while not in_flight.done():
            during.append(_seconds(send, short))
        long_s = in_flight.result()
    return Fairness(
        idle_s=statistics.median(idle), during_s=statistics.median(during), n_during=len(during), long_s=long_s
    )


def _seconds(send: Send, path: Path) -> float:
    started = time.perf_counter()
    send(path)
    return time.perf_counter() - started
