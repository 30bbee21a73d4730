"""A server as a user runs it: its own process, a free port, stopped by its process id."""

from __future__ import annotations

import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import requests

FREE_PORTS = range(20_000, 32_000)
"""Below those that Linux gives to clients, and to servers on port 0: a port that is free stays so for a while."""
START_TIMEOUT_S = 300.0  # A cold start converts weights and compiles kernels, beside other tests.
STOP_TIMEOUT_S = 30.0
POLL_INTERVAL_S = 0.05

_LISTENING = re.compile(r"listening on (http://[^\s\"]+)")
_WYOMING = re.compile(r"listening for Wyoming on (tcp://[^\s\"]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server. `log` is the file its standard error goes to."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def wyoming_uri(self) -> str:
        """Of a server with `--wyoming-port`."""
        found = _WYOMING.search(self.log.read_text())
        assert found
        return found[1]


@contextmanager
def run_server(
    *flags: str,
    env: Mapping[str, str] | None = None,
    wait_ready: bool = True,
    data_dir: Path | Literal["new"] | None = "new",
) -> Iterator[Server]:
    """Run `hf-asr serve --port 0` with more flags, wait until it is ready, stop it at the end.

    data_dir: where it keeps jobs; by default in a new folder, which is deleted; None leaves it to the server.
    """
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "log"
        data_flags = () if data_dir is None else ("--data-dir", directory if data_dir == "new" else str(data_dir))
        command = [sys.executable, "-m", "hf_asr_endpoint", "serve", "--port", "0", *data_flags, *flags]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stderr=output, stdin=subprocess.DEVNULL, env=env)
        try:
            server = Server(url=_wait_for_url(process, log), process=process, log=log)
            if wait_ready:
                wait_until_ready(server)
            yield server
        finally:
            process.terminate()
            process.wait(STOP_TIMEOUT_S)


def free_port() -> int:
    """Return a port of 127.0.0.1 for a program that must be told one."""
    while True:
        port = random.SystemRandom().choice(FREE_PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _wait_for_url(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        if found := _LISTENING.search(log.read_text()):
            return found[1]
        time.sleep(POLL_INTERVAL_S)
    raise RuntimeError(f"the server did not start:\n{log.read_text()}")


def wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while server.process.poll() is None and time.monotonic() < deadline:
        if requests.get(f"{server.url}/health", timeout=START_TIMEOUT_S).ok:
            return
        time.sleep(POLL_INTERVAL_S)
    raise RuntimeError(f"the server did not become ready:\n{server.log.read_text()}")
