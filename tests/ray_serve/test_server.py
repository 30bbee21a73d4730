"""A server on Ray with two engine replicas: what differs from a single server. The rest is in tests/clients."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import requests
import soundfile
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.conftest import make_flac, needs_ray
from tests.jobs.receiver import run_receiver
from tests.ray_serve.asking import (
    SLOTS,
    SPOKEN,
    TIMEOUT_S,
    health,
    metric,
    plain,
    status_of,
    submit,
    transcribe,
    wait_until,
)
from tests.ray_serve.load import Load, kill_with_its_requests
from tests.ray_serve.processes import busiest, engine_replicas
from tests.server import Server

pytestmark = needs_ray

N_CLIENTS, REQUESTS_OF_EACH = 6, 3
N_JOBS = 3


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


def test_an_answer_has_one_id(server: Server) -> None:
    """Ray's proxy adds it too."""
    for given in ({}, {"x-request-id": "of-the-client"}):
        answer = requests.get(f"{server.url}/info", headers=given, timeout=TIMEOUT_S)
        (request_id,) = answer.raw.headers.getlist("x-request-id")
        assert request_id
        assert request_id == given.get("x-request-id", request_id)


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


def test_a_dead_engine_fails_only_what_it_ran_and_is_replaced(
    server: Server, jfk: bytes, speech: Waveform
) -> None:
    replicas = engine_replicas(server.process.pid)
    with run_receiver() as receiver:
        # With beams, so that the first job takes long enough on a fast machine, too.
        long = make_flac(np.concatenate([speech] * 5))
        first = submit(server, long, webhook=receiver.url, language="en", num_beams="5")
        killed = busiest(replicas)
        jobs = {first, *(submit(server, jfk, webhook=receiver.url) for _ in range(N_JOBS - 1))}
        load = Load(lambda _: transcribe(server, jfk), n_clients=N_CLIENTS, n_requests=REQUESTS_OF_EACH)
        wait_until(lambda: metric(server, "hf_asr_requests_in_flight") >= N_CLIENTS, "no load")
        held = kill_with_its_requests(killed, load)
        assert status_of(server, first) != "succeeded", "it ran no job"
        wait_until(lambda: "1 of 2 engine replicas" in health(server).get("detail", ""), "nobody says so")
        answers = load.finish()
        wait_until(lambda: health(server) == {"status": "ready"}, "the engine was not replaced")
        assert len(set(engine_replicas(server.process.pid)) - set(replicas)) == 1
        wait_until(lambda: len(receiver.received) >= N_JOBS, "a webhook was lost")
        documents = {received.headers["webhook-id"]: received.document() for received in receiver.received}
    assert len(answers) == N_CLIENTS * REQUESTS_OF_EACH
    failed = {name: answer for name, answer in answers.items() if answer.status_code != 200}
    assert failed.keys() <= held
    assert failed, "it ran no request"
    for answer in failed.values():
        assert answer.status_code == 503
        assert "the engine that worked on this request has ended" in answer.json()["error"]["message"]
    for name, answer in answers.items():
        assert name in failed or SPOKEN in plain(answer.json()["text"])
    assert {document["request_id"] for document in documents.values()} == jobs
    for document in documents.values():
        assert document["inference_status"]["status"] == "succeeded"
        assert SPOKEN in plain(document["results"]["text"])
