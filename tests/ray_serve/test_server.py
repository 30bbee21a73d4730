"""A server on Ray with two engine replicas: what differs from a single server. The rest is in tests/clients."""

from __future__ import annotations

import io
import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import requests
import soundfile
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.conftest import needs_ray
from tests.ray_serve.processes import engine_replicas
from tests.server import Server

pytestmark = needs_ray

TIMEOUT_S = 120.0
SPOKEN = "ask not what your country can do for you"
N_CLIENTS, REQUESTS_OF_EACH = 6, 4
SLOTS = 16  # of an engine on a CPU


def plain(text: str) -> str:
    return text.lower().replace(",", "").replace(".", "")


def metric(server: Server, name: str) -> float:
    """Return a metric's sum over its labels."""
    lines = requests.get(f"{server.url}/metrics", timeout=TIMEOUT_S).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def wait_until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def health(server: Server) -> dict[str, Any]:
    body: dict[str, Any] = requests.get(f"{server.url}/health", timeout=TIMEOUT_S).json()
    return body


def transcribe(server: Server, audio: bytes) -> requests.Response:
    return requests.post(
        f"{server.url}/v1/audio/transcriptions",
        files={"file": ("audio", audio)},
        data={"model": "whisper-1"},
        timeout=TIMEOUT_S,
    )


def test_metrics_are_those_of_both_engines(server: Server) -> None:
    assert len(engine_replicas(server.process.pid)) == 2
    wait_until(lambda: metric(server, "hf_asr_slots") == 2 * SLOTS, "an engine has not reported")
    assert metric(server, "hf_asr_ready") == 1


def test_a_recording_of_several_blocks_is_whole(server: Server, speech: Waveform) -> None:
    """As 32-bit floats, so that it has more than a block of the object store."""
    file = io.BytesIO()
    silence = np.zeros(16 * SAMPLE_RATE, np.float32)
    soundfile.write(file, np.concatenate([speech, silence]), SAMPLE_RATE, format="WAV", subtype="FLOAT")
    assert len(file.getvalue()) > 2**20
    assert SPOKEN in plain(transcribe(server, file.getvalue()).json()["text"])


def test_samples_are_sent_as_they_are(server: Server, speech: Waveform) -> None:
    body = {"inputs": {"array": [round(float(one), 4) for one in speech], "sampling_rate": SAMPLE_RATE}}
    answer = requests.post(server.url, json=body, timeout=TIMEOUT_S)
    assert SPOKEN in plain(answer.json()["text"]), answer.text


def test_an_engines_errors_are_in_the_dialects_form(server: Server, jfk: bytes) -> None:
    answer = requests.post(
        f"{server.url}/v1/audio/transcriptions",
        files={"file": ("audio", jfk)},
        data={"model": "whisper-1", "num_beams": "16"},
        timeout=TIMEOUT_S,
    )
    assert answer.status_code == 400
    assert "num_beams is 16; allowed: up to 15" in answer.json()["error"]["message"]


def test_a_live_session_is_refused_with_a_sentence(server: Server) -> None:
    address = server.url.replace("http://", "ws://")
    with pytest.raises(InvalidStatus) as caught, connect(f"{address}/v1/realtime", open_timeout=TIMEOUT_S):
        pass
    response = caught.value.response
    assert response.status_code == 400
    assert "needs one engine for all of its audio" in json.loads(response.body)["error"]["message"]


def test_a_client_that_leaves_frees_its_slots(server: Server, speech: Waveform) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.concatenate([speech] * 5), SAMPLE_RATE, format="MP3")
    cancelled = metric(server, "hf_asr_windows_total")
    with requests.post(
        f"{server.url}/v1/audio/transcriptions",
        files={"file": ("audio", file.getvalue())},
        data={"model": "whisper-1", "stream": "true"},
        timeout=TIMEOUT_S,
        stream=True,
    ) as answer:
        assert next(answer.iter_lines())
    wait_until(lambda: metric(server, "hf_asr_requests_in_flight") == 0, "the request has not ended")
    wait_until(lambda: metric(server, "hf_asr_slots_in_use") == 0, "the engine goes on")
    assert metric(server, "hf_asr_windows_total") >= cancelled


def test_a_dead_engine_fails_only_what_it_ran_and_is_replaced(server: Server, jfk: bytes) -> None:
    replicas = engine_replicas(server.process.pid)
    jobs = [
        requests.post(
            f"{server.url}/v1/jobs",
            files={"file": ("audio", jfk)},
            data={"model": "whisper-1"},
            timeout=TIMEOUT_S,
        ).json()["request_id"]
        for _ in range(3)
    ]
    killed = threading.Event()

    def client(_: int) -> list[tuple[bool, requests.Response]]:
        return [(killed.is_set(), transcribe(server, jfk)) for _ in range(REQUESTS_OF_EACH)]

    with ThreadPoolExecutor(N_CLIENTS) as pool:
        working = [pool.submit(client, index) for index in range(N_CLIENTS)]
        wait_until(lambda: metric(server, "hf_asr_slots_in_use") > 1, "nothing runs")
        os.kill(replicas[0], signal.SIGKILL)
        killed.set()
        wait_until(lambda: "1 of 2 engine replicas" in health(server).get("detail", ""), "nobody says so")
        answers = [answer for one in working for answer in one.result()]
    failed = [(began_after, answer) for began_after, answer in answers if answer.status_code != 200]
    assert len(answers) == N_CLIENTS * REQUESTS_OF_EACH
    assert len(failed) <= N_CLIENTS
    for began_after, answer in failed:
        assert not began_after, answer.text
        assert answer.status_code == 503
        assert "the engine that worked on this request has ended" in answer.json()["error"]["message"]
    for _, answer in answers:
        assert answer.status_code != 200 or SPOKEN in plain(answer.json()["text"])
    wait_until(lambda: health(server) == {"status": "ready"}, "the engine was not replaced")
    assert len(set(engine_replicas(server.process.pid)) - set(replicas)) == 1
    for job in jobs:
        wait_until(lambda job=job: _status(server, job) == "succeeded", f"the job {job} was lost")


def _status(server: Server, job: str) -> str:
    body = requests.get(f"{server.url}/v1/requests/{job}", timeout=TIMEOUT_S).json()
    return str(body["inference_status"]["status"])
