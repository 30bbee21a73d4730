"""`GET /metrics`, as Prometheus' own parser reads it."""

from __future__ import annotations

import re
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from hf_asr_endpoint import __version__
from hf_asr_endpoint.api.app import create_app
from hf_asr_endpoint.errors import StorageFailed
from hf_asr_endpoint.jobs.job import JobCounts
from hf_asr_endpoint.jobs.jobs import NoJobs
from hf_asr_endpoint.types import Health
from tests.api.conftest import MODEL_NAMES, Serve, make_services, serve_app, wait_for
from tests.fakes import FakeTranscriber

TIMEOUT_S = 10.0
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples_of(url: str) -> Samples:
    """Return all values by their names and labels."""
    answer = requests.get(f"{url}/metrics", timeout=TIMEOUT_S)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


def names_of(samples: Samples) -> set[str]:
    return {name for name, _ in samples}


def transcribe(url: str, wav: bytes, path: str = "/v1/audio/transcriptions") -> requests.Response:
    return requests.post(
        url + path, files={"file": ("a.wav", wav)}, data={"model": "whisper-1"}, timeout=TIMEOUT_S
    )


class BrokenJobs(NoJobs):
    """Jobs whose disk is full."""

    async def counts(self) -> JobCounts:
        raise StorageFailed("jobs cannot be kept")


def test_metrics_leave_jobs_out_that_cannot_be_counted(transcriber: FakeTranscriber) -> None:
    with serve_app(create_app(make_services(transcriber, jobs=BrokenJobs("")))) as url:
        samples = samples_of(url)
    assert value(samples, "hf_asr_ready") == 1
    assert "hf_asr_jobs" not in names_of(samples)


def test_requests_are_counted_by_api_and_status(url: str, wav: bytes) -> None:
    assert transcribe(url, wav).ok
    assert transcribe(url, wav).ok
    assert transcribe(url, b"no audio").status_code == 400
    assert requests.post(url, data=wav, timeout=TIMEOUT_S).ok
    assert requests.get(f"{url}/v1/nothing", timeout=TIMEOUT_S).status_code == 404
    samples = samples_of(url)
    for api, status, n in (
        ("OpenAI", "200", 2),
        ("OpenAI", "400", 1),
        ("OpenAI", "404", 1),
        ("Hugging Face", "200", 1),
    ):
        assert value(samples, "hf_asr_requests_total", api=api, status=status) == n
    assert value(samples, "hf_asr_request_seconds_count", api="OpenAI") == 4
    assert value(samples, "hf_asr_request_audio_seconds_sum", api="OpenAI") == pytest.approx(2.0)
    assert value(samples, "hf_asr_request_audio_seconds_bucket", api="OpenAI", le="1.0") == 2
    assert value(samples, "hf_asr_request_speed_ratio_count", api="OpenAI") == 2


def test_a_client_that_leaves_is_counted(serve: Serve, wav: bytes) -> None:
    transcriber = FakeTranscriber()
    transcriber.hold()
    url = serve(transcriber)
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), TIMEOUT_S) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(wav) + wav)
        wait_for(lambda: transcriber.n_running == 1)
    wait_for(
        lambda: value(samples_of(url), "hf_asr_requests_total", api="Hugging Face", status="client-left") == 1
    )
    wait_for(
        lambda: value(samples_of(url), "hf_asr_windows_total", model=MODEL_NAMES[0], outcome="cancelled") == 1
    )


def test_what_goes_on_now_is_shown(serve: Serve, wav: bytes) -> None:
    transcriber = FakeTranscriber()
    transcriber.hold()
    url = serve(transcriber)
    client = threading.Thread(target=lambda: requests.post(url, data=wav, timeout=TIMEOUT_S))
    client.start()
    wait_for(lambda: value(samples_of(url), "hf_asr_slots_in_use", model=MODEL_NAMES[0]) == 1)
    samples = samples_of(url)
    assert value(samples, "hf_asr_requests_in_flight") == 1
    assert value(samples, "hf_asr_requests_in_flight_max") == 4
    transcriber.release()
    client.join()
    wait_for(lambda: value(samples_of(url), "hf_asr_requests_in_flight") == 0)


def test_the_model_and_its_readiness_are_shown(url: str, serve: Serve) -> None:
    samples = samples_of(url)
    labels = {
        "version": __version__,
        "model": MODEL_NAMES[0],
        "status": "ready",
        "device": "cpu",
        "dtype": "float32",
        "cpu_level": "",
    }
    assert value(samples, "hf_asr_info", **labels) == 1
    assert value(samples, "hf_asr_ready") == 1
    loading = samples_of(serve(FakeTranscriber(health=Health(state="loading", detail="weights"))))
    assert value(loading, "hf_asr_ready") == 0
    assert value(loading, "process_resident_memory_bytes") > 0


def test_openmetrics_is_served_to_clients_that_accept_it(url: str) -> None:
    answer = requests.get(f"{url}/metrics", headers={"Accept": OPENMETRICS}, timeout=TIMEOUT_S)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert {family.name for family in openmetrics.text_string_to_metric_families(answer.text)} >= {
        "hf_asr_requests"
    }


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text; version=abc", "text/plain; version=..", ";;,=", ""]
)
def test_a_broken_accept_header_gets_text(url: str, accept: str) -> None:
    answer = requests.get(f"{url}/metrics", headers={"Accept": accept}, timeout=TIMEOUT_S)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")


def test_paths_make_no_series(url: str) -> None:
    """A client could make as many as it likes."""
    for n in range(20):
        requests.get(f"{url}/nothing/{n}", timeout=TIMEOUT_S)
    series = [key for key in samples_of(url) if key[0] == "hf_asr_requests_total"]
    assert len(series) == 1


def test_each_metric_is_documented(url: str, wav: bytes) -> None:
    transcribe(url, wav)
    page = (Path(__file__).parents[2] / "docs" / "requests.md").read_text()
    documented = set(re.findall(r"`(hf_asr_\w+)", page))
    text = requests.get(f"{url}/metrics", timeout=TIMEOUT_S).text
    assert set(re.findall(r"^# TYPE (hf_asr_\w+)", text, re.MULTILINE)) == documented
