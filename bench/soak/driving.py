"""Runs the clients of a soak, watches the server's memory, and compares each text with the first one."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import requests

from bench.peak_memory import rss_mib
from bench.soak.client import Client, Recordings, UnexpectedResponse
from bench.soak.evaluation import Request
from bench.soak.kinds import KINDS, Kind

SAMPLE_INTERVAL_S = 1.0
PAUSE_AFTER_ERROR_S = 1.0  # A server that is gone must not fill the memory with errors.


@dataclass(slots=True)
class FirstTexts:
    """The first text that each kind of request got for each recording. From any thread."""

    _texts: dict[tuple[str, str], str] = field(default_factory=dict)

    def check(self, kind: str, recording: str, text: str) -> None:
        """Raise UnexpectedResponse if this is not the text that came first."""
        first = self._texts.setdefault((kind, recording), text)
        if text != first:
            raise UnexpectedResponse(f"{recording}: first {first!r}, now {text!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """requests: that ended within the time, or began in it. memory_mib: a sample each second of that time."""

    requests: list[Request]
    memory_mib: list[float]


def soak(url: str, recordings: Recordings, *, pid: int | None, n_clients: int, seconds: float) -> Soak:
    """Let clients ask for `seconds`, each in an order of its own; then wait for what they still expect."""
    texts = FirstTexts()
    deadline = time.monotonic() + seconds
    ended: list[Request] = []
    all_ended = threading.Event()
    memory_mib: list[float] = []

    def run(index: int) -> None:
        client = Client(url=url, recordings=recordings, random=random.Random(index))
        while time.monotonic() < deadline:
            ended.append(request := ask_once(client, client.random.choice(KINDS), texts))
            if request.error is not None:
                print(f"{request.kind}: {request.error}", flush=True)
                time.sleep(PAUSE_AFTER_ERROR_S)  # A server that is gone fails at once, again and again.

    def watch() -> None:
        while pid is not None and time.monotonic() < deadline and not all_ended.is_set():
            if (mib := rss_mib(pid)) is not None:
                memory_mib.append(mib)
            all_ended.wait(SAMPLE_INTERVAL_S)

    with ThreadPoolExecutor(n_clients + 1) as threads:
        watching = threads.submit(watch)
        for running in [threads.submit(run, index) for index in range(n_clients)]:
            running.result()
        all_ended.set()
        watching.result()
    return Soak(requests=ended, memory_mib=memory_mib)


def ask_once(client: Client, kind: Kind, texts: FirstTexts) -> Request:
    """Send one request of a kind. An error of any sort is that of the request."""
    path = client.recordings.long if kind.is_long else client.random.choice(client.recordings.short)
    started = time.monotonic()
    error = None
    try:
        texts.check(kind.name, path.name, kind.ask(client, path))
    except (UnexpectedResponse, requests.RequestException, OSError, ValueError, KeyError, TypeError) as exc:
        error = f"{type(exc).__name__}: {exc}"
    return Request(kind=kind.name, latency_s=time.monotonic() - started, error=error)
