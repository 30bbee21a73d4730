"""`serve run`, Ray's own command, with a file as RayService has it, and without: settings are also variables."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import needs_ray
from tests.ray_serve.asking import SLOTS, SPOKEN, health, metric, plain, transcribe, wait_until
from tests.ray_serve.processes import descendants, engine_replicas, is_alive
from tests.server import STOP_TIMEOUT_S, Server, free_port

pytestmark = needs_ray

IMPORT_PATH = "hf_asr_endpoint.ray_serve:app"
RAYS_PORT = 8000
"""Of a server without a file; the command has no option for another."""
N_CLIENTS = 6
SETTINGS = {
    "HF_ASR_MODEL": "embedded:whisper-tiny.en",
    "HF_ASR_RAY_ENGINE_CPUS": "1",
    "HF_ASR_RAY_ENGINE_REQUESTS": "2",
    "HF_ASR_RAY_UPSCALE_DELAY_S": "1",
    "HF_ASR_RAY_DOWNSCALE_DELAY_S": "2",
}
QUICK = {
    # How often replicas tell of their requests. By default, every 10 s.
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.5",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.5",
}


@contextmanager
def run_serve(folder: Path, port: int, *arguments: str, cache_dir: Path) -> Iterator[Server]:
    """Run `serve run`, wait until the server is ready, stop it at the end."""
    settings = {**SETTINGS, "HF_ASR_CACHE_DIR": str(cache_dir), "HF_ASR_DATA_DIR": str(folder / "data")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "serve", "run", *arguments, "--address", "local"],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **QUICK, **settings},
        )
    running = Server(url=f"http://127.0.0.1:{port}", process=process, log=folder / "log")
    try:
        wait_until(lambda: is_ready(running), "it does not start")
        yield running
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_S)


@pytest.fixture(scope="module")
def server(cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("serve")
    port = free_port()
    application = {
        "name": "hf-asr",
        "route_prefix": "/",
        "import_path": IMPORT_PATH,
        "args": {"ray_engine_replicas": "1-2"},
    }
    configuration = {"http_options": {"host": "127.0.0.1", "port": port}, "applications": [application]}
    file = folder / "serve.yaml"
    file.write_text(json.dumps(configuration))  # JSON is YAML.
    with run_serve(folder, port, str(file), cache_dir=cache_dir) as running:
        yield running


def is_ready(server: Server) -> bool:
    assert server.process.poll() is None, server.log.read_text()
    try:
        return health(server) == {"status": "ready"}
    except requests.RequestException:  # Nobody listens, or Ray's proxy has no application yet.
        return False


def test_a_second_engine_comes_with_the_load_and_leaves_after_it(server: Server, jfk: bytes) -> None:
    is_over = threading.Event()
    told: list[dict[str, Any]] = []

    def client() -> list[requests.Response]:
        answers = []
        while not is_over.is_set():
            answers.append(transcribe(server, jfk))
        return answers

    def has_engines(n: int) -> bool:
        told.append(health(server))
        return metric(server, "hf_asr_slots") == n * SLOTS and len(engine_replicas(server.process.pid)) == n

    wait_until(lambda: has_engines(1), "it does not begin with one")
    with ThreadPoolExecutor(N_CLIENTS) as pool:
        clients = [pool.submit(client) for _ in range(N_CLIENTS)]
        try:
            wait_until(lambda: has_engines(2), "the second engine does not come")
        finally:
            is_over.set()
    answers = [answer for one in clients for answer in one.result()]
    wait_until(lambda: has_engines(1), "the second engine does not leave")
    assert all(answer.status_code == 200 for answer in answers)
    assert all(SPOKEN in plain(answer.json()["text"]) for answer in answers)
    assert all(body == {"status": "ready"} for body in told)


def test_it_ends_with_its_process_and_leaves_none(server: Server) -> None:
    """The last test of the server with a file."""
    started = [process.pid for process in descendants(server.process.pid)]
    assert started
    server.process.terminate()
    server.process.wait(STOP_TIMEOUT_S)
    wait_until(lambda: not any(is_alive(pid) for pid in started), "processes are left")
    with pytest.raises(requests.ConnectionError):
        health(server)


def test_settings_are_arguments_and_variables_where_there_is_no_file(
    cache_dir: Path, tmp_path: Path, jfk: bytes
) -> None:
    try:
        socket.create_server(("127.0.0.1", RAYS_PORT)).close()
    except OSError:
        pytest.skip(f"port {RAYS_PORT} is taken, and Ray's command has no other")
    arguments = (IMPORT_PATH, "ray_engine_replicas=1-2", "shutdown_timeout_s=5")
    with run_serve(tmp_path, RAYS_PORT, *arguments, cache_dir=cache_dir) as server:
        assert SPOKEN in plain(transcribe(server, jfk).json()["text"])
        assert requests.get(f"{server.url}/v1/models/whisper-tiny.en", timeout=STOP_TIMEOUT_S).ok
