"""Several clients at the same time; each sends one clip after another."""

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

PAUSE_AFTER_ERROR_S = 0.1  # so that refused clients do not retry without a pause

Send = Callable[[Path], float | None]
"""Transcribes a file. Returns the seconds until the first byte of the response; None without HTTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clips:
    """Files to send, and the duration of each."""

    paths: Sequence[Path]
    seconds: Sequence[float]

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Clips:
        return cls(paths=paths, seconds=[duration_s(path) for path in paths])


def drive(connect: Callable[[], Send], clips: Clips, *, n_clients: int, seconds: float) -> LoadResult:
    """Send clips from `n_clients` for `seconds`. Requests in flight at the end finish and count too.

    connect: called once in the thread of each client.
    """
    begin = threading.Barrier(n_clients + 1)

    def client(index: int) -> list[Reply]:
        send = connect()
        begin.wait()
        deadline = time.perf_counter() + seconds
        replies: list[Reply] = []
        while time.perf_counter() < deadline:
            # Clients start with different clips, so that they do not all send the longest one at the same time.
            clip_index = (index + len(replies)) % len(clips.paths)
            replies.append(_send_clip(send, clips, clip_index, client=index))
        return replies

    with ThreadPoolExecutor(n_clients) as pool:
        futures = [pool.submit(client, index) for index in range(n_clients)]
        begin.wait()
        started = time.perf_counter()
        replies = [reply for future in futures for reply in future.result()]
    return summarise(replies, n_clients=n_clients, elapsed_s=time.perf_counter() - started)


def http_client(url: str) -> Send:
    """Return a function that posts a file to this project's server over one connection."""
    session = requests.Session()

    def send(path: Path) -> float:
        # requests measures `elapsed` until the headers of the response.
        return post(session, url, path.read_bytes()).elapsed.total_seconds()

    return send


def _send_clip(send: Send, clips: Clips, clip_index: int, *, client: int) -> Reply:
    started = time.perf_counter()
    ttfb_s = error = None
    try:
        ttfb_s = send(clips.paths[clip_index])
    except Exception as exc:  # Every failure counts as the error of one request.
        error = str(exc)
        time.sleep(PAUSE_AFTER_ERROR_S)
    return Reply(
        client=client,
        audio_s=clips.seconds[clip_index],
        latency_s=time.perf_counter() - started,
        ttfb_s=ttfb_s,
        error=error,
    )
