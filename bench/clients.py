"""Many clients at a time, each of which sends one clip after another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import requests

from bench.engines.server import post
from bench.load_result import LoadResult, Reply, summarise
from bench.recordings import duration_s

PAUSE_AFTER_ERROR_S = 0.1  # so that a refusal is not asked for again at once

Send = Callable[[Path], float | None]
"""Transcribes a file; returns the seconds to the first byte of the answer where there is such a thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clips:
    """Files to send, and how long each lasts."""

    paths: Sequence[Path]
    seconds: Sequence[float]

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Clips:
        return cls(paths=paths, seconds=[duration_s(path) for path in paths])


def drive(connect: Callable[[], Send], clips: Clips, *, n_clients: int, seconds: float) -> LoadResult:
    """Let `n_clients` send clips for `seconds` and finish what is under way, which counts too.

    connect: called once in each client's thread.
    """
    begin = threading.Barrier(n_clients + 1)

    def client(index: int) -> list[Reply]:
        send = connect()
        begin.wait()
        deadline = time.perf_counter() + seconds
        replies: list[Reply] = []
        while time.perf_counter() < deadline:
            # Clients start at different clips, so that not all send the longest one together.
            at = (index + len(replies)) % len(clips.paths)
            replies.append(_ask(send, clips, at, client=index))
        return replies

    with ThreadPoolExecutor(n_clients) as pool:
        futures = [pool.submit(client, index) for index in range(n_clients)]
        begin.wait()
        started = time.perf_counter()
        replies = [reply for future in futures for reply in future.result()]
    return summarise(replies, n_clients=n_clients, elapsed_s=time.perf_counter() - started)


def http_client(url: str) -> Send:
    """Return a function that posts a file to this project's server, over one connection."""
    session = requests.Session()

    def send(path: Path) -> float:
        # To the answer's head, as requests defines `elapsed`.
        return post(session, url, path.read_bytes()).elapsed.total_seconds()

    return send


def _ask(send: Send, clips: Clips, at: int, *, client: int) -> Reply:
    started = time.perf_counter()
    ttfb_s = error = None
    try:
        ttfb_s = send(clips.paths[at])
    except Exception as exc:  # Whatever goes wrong is one request's error, and is counted.
        error = str(exc)
        time.sleep(PAUSE_AFTER_ERROR_S)
    return Reply(
        client=client,
        audio_s=clips.seconds[at],
        latency_s=time.perf_counter() - started,
        ttfb_s=ttfb_s,
        error=error,
    )
