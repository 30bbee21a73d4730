"""Traces as a collector receives them: OTLP over HTTP, from a server in a process of its own."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.api.conftest import wait_for
from tests.server import run_server

TIMEOUT_S = 60.0
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SECRET, PROMPT = "open-sesame", "Xylophone"


class Collector:
    """An OTLP receiver."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        self.received = b""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.take(body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Not to the test's output."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def take(self, body: bytes) -> None:
        self.received += body
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = {item.key: item.value.string_value for item in of_resource.resource.attributes}
            for span in (span for scope in of_resource.scope_spans for span in scope.spans):
                values = {
                    item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes
                }
                ids = {name: getattr(span, name).hex() for name in ("trace_id", "span_id", "parent_span_id")}
                self.spans.append({**values, **ids, "service": resource["service.name"], "name": span.name})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


def test_a_collector_gets_the_spans_of_requests_and_jobs(
    collector: Collector, cache_dir: Path, jfk: bytes
) -> None:
    env = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "HF_ASR_API_KEYS": f"anna:{SECRET}",
        "HF_ASR_CACHE_DIR": str(cache_dir),
        "HF_ASR_LOG_FORMAT": "json",
        "HF_ASR_MODEL": "embedded:whisper-tiny.en",
    }
    headers = {"Authorization": f"Bearer {SECRET}"}
    with run_server(env=env) as server:
        path = f"{server.url}/v1/audio/transcriptions"
        traced = {**headers, "traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}
        form = {"prompt": PROMPT}
        query = f"?prompt={PROMPT}"
        assert requests.post(path, files={"file": jfk}, data=form, headers=traced, timeout=TIMEOUT_S).ok
        streaming = {"stream": "true"}
        assert requests.post(
            path + query, files={"file": jfk}, data=streaming, headers=headers, timeout=TIMEOUT_S
        ).text
        assert requests.post(path, files={"file": b"no"}, headers=headers, timeout=TIMEOUT_S).status_code == 400
        submitted = requests.post(f"{server.url}/v1/jobs", files={"file": jfk}, headers=headers, timeout=TIMEOUT_S)
        job_id = submitted.json()["request_id"]
        state = f"{server.url}/v1/requests/{job_id}"
        wait_for(lambda: requests.get(state, headers=headers, timeout=TIMEOUT_S).json()["progress"] == 1.0)
        log = server.log.read_text()
    # The last of them are sent while the server stops.
    assert {span["service"] for span in collector.spans} == {"hf-asr-endpoint"}
    posts = [span for span in collector.spans if span["name"] == "POST OpenAI"]
    assert [span["http.response.status_code"] for span in posts] == [200, 200, 400]
    assert (posts[0]["trace_id"], posts[0]["parent_span_id"]) == (TRACE_ID, "00f067aa0ba902b7")
    for span in posts[:2]:
        assert span["hf_asr.audio_s"] == pytest.approx(11.0, abs=0.1)
        assert (span["hf_asr.key"], span["url.path"]) == ("anna", "/v1/audio/transcriptions")
        assert {part["name"] for part in children(collector, span)} == {"receive", "transcribe"}
    failed = next(part for part in children(collector, posts[2]) if part["name"] == "transcribe")
    assert failed["error.type"] == "UnsupportedAudio"
    (of_job,) = (span for span in collector.spans if span["name"] == "job")
    assert (of_job["parent_span_id"], of_job["hf_asr.job_id"]) == ("", job_id)
    assert SECRET.encode() not in collector.received
    assert PROMPT.encode() not in collector.received
    lines = [json.loads(line) for line in log.splitlines()]
    assert TRACE_ID in {line.get("trace_id") for line in lines}


def children(collector: Collector, span: dict[str, Any]) -> list[dict[str, Any]]:
    return [child for child in collector.spans if child["parent_span_id"] == span["span_id"]]


def test_nothing_is_traced_without_an_endpoint(cache_dir: Path, collector: Collector) -> None:
    env = {**os.environ, "HF_ASR_CACHE_DIR": str(cache_dir), "HF_ASR_LOG_FORMAT": "json"}
    with run_server(env=env, wait_ready=False) as server:
        requests.get(f"{server.url}/info", timeout=TIMEOUT_S)
        wait_for(lambda: '"/info"' in server.log.read_text())
        lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert next(line for line in lines if line.get("path") == "/info")["trace_id"] is None
