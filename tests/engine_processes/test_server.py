"""A server with `--devices cpu,cpu`, as operators and clients meet it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.engine_processes.conftest import DEADLINE_S, N_TIMES, children_of, needs_proc, wait_for
from tests.server import Server, run_server

N_SLOTS = 4
FLAGS = (
    "--model",
    "embedded:whisper-tiny.en",
    "--devices",
    "cpu,cpu",
    "--slots",
    str(N_SLOTS),
    "--max-beams",
    "2",
)
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}

pytestmark = needs_proc


@pytest.fixture(scope="module")
def server(cache_dir: Path) -> Iterator[Server]:
    with run_server(*FLAGS, "--cache-dir", str(cache_dir), env=ONE_THREAD) as server:
        yield server


def get(server: Server, path: str) -> Any:
    return requests.get(f"{server.url}{path}", timeout=DEADLINE_S).json()


def post(server: Server, audio: bytes) -> requests.Response:
    return requests.post(f"{server.url}/v1/audio/transcriptions", files={"file": audio}, timeout=DEADLINE_S)


def engines_of(server: Server) -> list[dict[str, Any]]:
    (model,) = get(server, "/info")["models"]
    engines: list[dict[str, Any]] = model["engines"]
    return engines


def metrics(server: Server) -> dict[tuple[str, str], float]:
    text = requests.get(f"{server.url}/metrics", timeout=DEADLINE_S).text
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples if "engine" in sample.labels]
    return {(sample.name, sample.labels["engine"]): sample.value for sample in samples}


def metric(server: Server, name: str) -> float:
    text = requests.get(f"{server.url}/metrics", timeout=DEADLINE_S).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    value: float = families[name].samples[0].value
    return value


def engine_processes(pid: int) -> dict[int, bytes]:
    """Return the command lines of a server's children that run Python's code for a new process."""
    found = {}
    for child in children_of(pid):
        command = Path(f"/proc/{child}/cmdline").read_bytes()
        if b"spawn_main" in command:
            found[child] = command
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_engine_is_told_and_comes_back(server: Server, jfk: bytes, three_minutes: bytes) -> None:
    ready = [{"name": name, "status": "ready", "detail": "", "restarts": 0} for name in ("cpu-0", "cpu-1")]
    assert engines_of(server) == ready
    assert get(server, "/health") == {"status": "ready"}
    first, second = engine_processes(server.process.pid)
    with ThreadPoolExecutor() as clients:
        working = [clients.submit(post, server, three_minutes) for _ in range(2)]
        wait_for(lambda: metric(server, "hf_asr_slots_in_use") > N_SLOTS)  # Both have work.
        os.kill(min(first, second), signal.SIGKILL)
        # Asked at once: the engine may be back before the other one has answered.
        wait_for(lambda: "1 of 2 engines are ready; cpu-" in get(server, "/health").get("detail", ""))
        assert get(server, "/health")["status"] == "ready"
        answers = [client.result() for client in working]
    lost, kept = sorted(answers, key=lambda answer: -answer.status_code)
    assert lost.status_code == 503
    assert "has ended; send the request again" in lost.json()["error"]["message"]
    assert kept.json()["text"].count("your country") >= 3 * N_TIMES
    assert post(server, jfk).status_code == 200
    wait_for(lambda: get(server, "/health") == {"status": "ready"})
    restarts = {engine["name"]: engine["restarts"] for engine in engines_of(server)}
    assert sorted(restarts.values()) == [0, 1]
    told = metrics(server)
    for name, n in restarts.items():
        assert told["hf_asr_engine_restarts_total", name] == n
        assert told["hf_asr_engine_ready", name] == 1


def test_sigterm_lets_requests_finish_and_ends_all_processes(cache_dir: Path, a_minute: bytes) -> None:
    """systemd sends it to the engines' processes, too."""
    flags = (*FLAGS, "--cache-dir", str(cache_dir), "--shutdown-timeout-s", "150")
    with (
        run_server(*flags, env=ONE_THREAD) as server,
        ThreadPoolExecutor() as clients,
    ):
        processes = engine_processes(server.process.pid)
        working = clients.submit(post, server, a_minute)
        wait_for(lambda: metric(server, "hf_asr_requests_in_flight") > 0)  # Engines tell theirs twice a second.
        for pid in (*processes, server.process.pid):
            os.kill(pid, signal.SIGTERM)
        assert working.result().json()["text"].count("your country") >= N_TIMES
        server.process.wait(DEADLINE_S)
        wait_for(lambda: not any(map(is_alive, processes)))


def test_engines_end_with_a_killed_server(cache_dir: Path) -> None:
    with run_server(*FLAGS, "--cache-dir", str(cache_dir), env=ONE_THREAD, wait_ready=False) as server:
        wait_for(lambda: len(engine_processes(server.process.pid)) == 2)
        processes = engine_processes(server.process.pid)
        server.process.kill()
        wait_for(lambda: not any(map(is_alive, processes)))
