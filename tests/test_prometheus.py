"""A real Prometheus scrapes the server and finds its metrics. Debian has it as a package."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.api.conftest import wait_for
from tests.server import Server, free_port, run_server

TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 30.0

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not installed")

CONFIGURATION = """
global: {{scrape_interval: 500ms, scrape_timeout: 400ms}}
scrape_configs:
- job_name: whisper
  authorization: {{credentials: key-of-scraper}}
  static_configs: [{{targets: ["{target}"]}}]
"""


@pytest.fixture
def server(cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("HF_ASR_API_KEYS", "scraper:key-of-scraper")
    with run_server("--model", "embedded:whisper-tiny.en", "--cache-dir", str(cache_dir)) as server:
        yield server


@pytest.fixture
def prometheus(server: Server, tmp_path: Path) -> Iterator[str]:
    """Its URL."""
    (tmp_path / "prometheus.yml").write_text(CONFIGURATION.format(target=server.url.removeprefix("http://")))
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address={address}",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_S)


def query(prometheus: str, expression: str) -> list[dict[str, Any]]:
    """Return the result of a query; an empty one before Prometheus is up."""
    try:
        answer = requests.get(f"{prometheus}/api/v1/query", params={"query": expression}, timeout=TIMEOUT_S)
    except requests.ConnectionError:
        return []
    if answer.status_code != 200:
        return []
    result: list[dict[str, Any]] = answer.json()["data"]["result"]
    return result


def test_prometheus_scrapes_the_metrics_with_a_key(server: Server, prometheus: str, jfk: bytes) -> None:
    headers = {"Authorization": "Bearer key-of-scraper"}
    assert requests.post(server.url, data=jfk, headers=headers, timeout=60).status_code == 200
    wait_for(lambda: bool(query(prometheus, 'hf_asr_requests_total{api="Hugging Face",status="200"} == 1')))
    assert [series["value"][1] for series in query(prometheus, "up")] == ["1"]
    assert query(prometheus, 'hf_asr_info{model="openai/whisper-tiny.en"} == 1')
    assert query(prometheus, "hf_asr_request_audio_seconds_sum > 10.9")
