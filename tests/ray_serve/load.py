"""Clients that ask for one thing after another, while a process that works for them is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import requests

from tests.ray_serve.asking import POLL_INTERVAL_S, TIMEOUT_S

STILL_S = 5.0
"""Without an answer, what the other processes had is done."""


class Load:
    """n_clients in threads, with n_requests each. answers: by the names of the requests."""

    def __init__(self, send: Callable[[str], requests.Response], *, n_clients: int, n_requests: int) -> None:
        """send: sends a request with this name."""
        self._send = send
        self._n_requests = n_requests
        self._begun: set[str] = set()
        self.answers: dict[str, requests.Response] = {}
        self._pool = ThreadPoolExecutor(n_clients)
        self._clients = [self._pool.submit(self._ask, index) for index in range(n_clients)]

    def _ask(self, client: int) -> None:
        for turn in range(self._n_requests):
            name = f"load-{client}-{turn}"
            self._begun.add(name)
            self.answers[name] = self._send(name)

    def unanswered(self) -> frozenset[str]:
        return frozenset(self._begun.difference(self.answers))

    def finish(self) -> dict[str, requests.Response]:
        """Wait for all answers."""
        for client in self._clients:
            client.result()
        self._pool.shutdown()
        return self.answers


def kill_with_its_requests(pid: int, load: Load) -> frozenset[str]:
    """Halt a process, wait until the others have done what they had, and kill it.

    Returns the names of the requests that it held.
    """
    os.kill(pid, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + TIMEOUT_S
        n_answers, still_since = -1, time.monotonic()
        while time.monotonic() - still_since < STILL_S:
            assert time.monotonic() < deadline, "the other processes do not come to an end"
            if len(load.answers) != n_answers:
                n_answers, still_since = len(load.answers), time.monotonic()
            time.sleep(POLL_INTERVAL_S)
        return load.unanswered()
    finally:
        os.kill(pid, signal.SIGKILL)
