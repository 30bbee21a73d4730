"""Whether a long recording keeps short ones waiting."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.clients import Send, http_client

N_IDLE_REQUESTS = 10
HEAD_START_S = 1.0  # in which the long file is uploaded, and its transcription begins


@dataclass(frozen=True, slots=True, kw_only=True)
class LongBesideShort:
    """Median latency of a short clip on the idle server and beside a long file, in seconds."""

    idle_s: float
    beside_s: float
    n_beside: int
    long_s: float  # how long the long file took


def send_beside(url: str, *, short: Path, long: Path) -> LongBesideShort:
    """Post `short` again and again, one at a time: to the idle server, then while `long` is transcribed."""
    send = http_client(url)
    send(short)  # warm-up
    idle = [_seconds(send, short) for _ in range(N_IDLE_REQUESTS)]
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(_seconds, http_client(url), long)
        time.sleep(HEAD_START_S)
        # The last one may end on an idle server; left out, a wait to the very end would not show at all.
        beside = [_seconds(send, short)]
        while not under_way.done():
            beside.append(_seconds(send, short))
        long_s = under_way.result()
    return LongBesideShort(
        idle_s=statistics.median(idle), beside_s=statistics.median(beside), n_beside=len(beside), long_s=long_s
    )


def _seconds(send: Send, path: Path) -> float:
    started = time.perf_counter()
    send(path)
    return time.perf_counter() - started
