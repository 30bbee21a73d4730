"""What tests of servers on Ray ask them for."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import requests

from tests.server import Server

TIMEOUT_S = 120.0
POLL_INTERVAL_S = 0.1
SPOKEN = "ask not what your country can do for you"
SLOTS = 16  # of an engine on a CPU


def plain(text: str) -> str:
    return text.lower().replace(",", "").replace(".", "")


def wait_until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(POLL_INTERVAL_S)


def health(server: Server) -> dict[str, Any]:
    body: dict[str, Any] = requests.get(f"{server.url}/health", timeout=TIMEOUT_S).json()
    return body


def metrics(server: Server, headers: Mapping[str, str] | None = None) -> dict[str, float]:
    """Return the metrics by their names with labels, as they are written."""
    text = requests.get(f"{server.url}/metrics", headers=headers, timeout=TIMEOUT_S).text
    written = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in written}


def metric(server: Server, name: str) -> float:
    """Return a metric's sum over its labels."""
    return sum(value for key, value in metrics(server).items() if key == name or key.startswith(f"{name}{{"))


def transcribe(
    server: Server,
    audio: bytes,
    *,
    model: str = "whisper-1",
    headers: Mapping[str, str] | None = None,
    **fields: str,
) -> requests.Response:
    return requests.post(
        f"{server.url}/v1/audio/transcriptions",
        files={"file": ("audio", audio)},
        data={"model": model, **fields},
        headers=headers,
        timeout=TIMEOUT_S,
    )


def submit(server: Server, audio: bytes, *, headers: Mapping[str, str] | None = None, **fields: str) -> str:
    """Submit a job, and return its id."""
    answer = requests.post(
        f"{server.url}/v1/jobs",
        files={"file": ("audio", audio)},
        data={"model": "whisper-1", **fields},
        headers=headers,
        timeout=TIMEOUT_S,
    )
    assert answer.status_code == 202, answer.text
    job: str = answer.json()["request_id"]
    return job


def status_of(server: Server, job: str, *, headers: Mapping[str, str] | None = None) -> str:
    answer = requests.get(f"{server.url}/v1/requests/{job}", headers=headers, timeout=TIMEOUT_S)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["inference_status"]["status"])


def replica_of(server: Server, request_id: str) -> int:
    """Return the process id of the HTTP replica that has answered a request: Ray writes it before each line."""
    line = re.compile(rf"\(ServeReplica:\S+ pid=(\d+)[^)]*\).* id={re.escape(request_id)} ")

    def found() -> re.Match[str] | None:
        return line.search(server.log.read_text())

    wait_until(found, f"the log does not have the request {request_id}")
    match = found()
    assert match
    return int(match[1])
