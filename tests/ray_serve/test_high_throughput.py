"""A server with Ray Serve's high-throughput mode, whose calls go by gRPC and whose proxy is HAProxy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.conftest import needs_ray
from tests.ray_serve.asking import SPOKEN, TIMEOUT_S, plain, transcribe
from tests.server import Server, run_server

pytestmark = needs_ray

HIGH_THROUGHPUT = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
}


@pytest.fixture(scope="module")
def fast_server() -> Iterator[Server]:
    flags = ("--model", "embedded:whisper-tiny.en", "--ray", "--ray-engine-cpus", "1")
    with run_server(*flags, env=HIGH_THROUGHPUT) as server:
        yield server


def test_a_recording_is_transcribed(fast_server: Server, jfk: bytes) -> None:
    assert SPOKEN in plain(transcribe(fast_server, jfk).json()["text"])


def test_a_stream_has_deltas(fast_server: Server, jfk: bytes) -> None:
    with requests.post(
        f"{fast_server.url}/v1/audio/transcriptions",
        files={"file": ("a.flac", jfk)},
        data={"model": "whisper-1", "stream": "true"},
        stream=True,
        timeout=TIMEOUT_S,
    ) as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert any(b"transcript.text.delta" in line for line in lines)
    assert any(b"transcript.text.done" in line for line in lines)
