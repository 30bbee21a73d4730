"""A server on Ray with two HTTP replicas, which share jobs in PostgreSQL, and two models with an engine each."""

from __future__ import annotations

import os
import socket
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.conftest import needs_ray
from tests.jobs.postgres import find_programs, run_postgres
from tests.jobs.receiver import run_receiver
from tests.ray_serve.asking import (
    SLOTS,
    SPOKEN,
    TIMEOUT_S,
    health,
    metrics,
    plain,
    replica_of,
    status_of,
    submit,
    transcribe,
    wait_until,
)
from tests.ray_serve.load import Load, kill_with_its_requests
from tests.ray_serve.processes import engine_replicas, http_replicas
from tests.server import Server, run_server

pytestmark = needs_ray

BASE, TINY = "whisper-base", "whisper-tiny.en"
KEYS = "anna:key-of-anna,bert:key-of-bert requests=1,carl:key-of-carl audio_s_per_minute=1"
ANNA, BERT, CARL = ({"Authorization": f"Bearer key-of-{name}"} for name in ("anna", "bert", "carl"))
N_CLIENTS, REQUESTS_OF_EACH = 6, 3
N_JOBS = 4
MAX_TRIES = 50
"""Until each of two replicas has answered; a replica is chosen by chance among those that are equally busy."""


@pytest.fixture(scope="module")
def server(cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian's package `postgresql`)")
    with (
        run_postgres(programs) as url,
        run_server(
            *("--ray", "--ray-http-replicas", "2", "--ray-engine-cpus", "1"),
            *("--model", "embedded:whisper-base", "--model", "embedded:whisper-tiny.en"),
            *("--cache-dir", str(cache_dir), "--webhook-allowed-hosts", "127.0.0.1"),
            *("--jobs-storage", str(tmp_path_factory.mktemp("storage")), "--job-lease-s", "2"),
            # The log says which replica has answered: each line has the process, and none is left out.
            env={**os.environ, "HF_ASR_API_KEYS": KEYS, "HF_ASR_JOBS_DATABASE": url, "RAY_DEDUP_LOGS": "0"},
            data_dir=None,
        ) as running,
    ):
        yield running


def name(request_id: str) -> dict[str, str]:
    return {"x-request-id": request_id}


def status_of_model(server: Server, model: str) -> str:
    document = requests.get(f"{server.url}/v1/models/{model}", headers=ANNA, timeout=TIMEOUT_S).json()
    return str(document["status"])


def test_each_model_has_an_engine_of_its_own(server: Server, jfk: bytes) -> None:
    assert [len(engine_replicas(server.process.pid, model=index)) for index in (0, 1)] == [1, 1]
    for model in (BASE, TINY):
        # Each HTTP replica hears of the engines at its own times.
        wait_until(lambda model=model: status_of_model(server, model) == "ready", f"{model} is not ready")
        slots = f'hf_asr_slots{{model="openai/{model}"}}'
        wait_until(lambda slots=slots: metrics(server, ANNA)[slots] == SLOTS, f"{slots} is another")
    texts = [
        transcribe(server, jfk, model=model, language="en", headers=ANNA).json()["text"] for model in (BASE, TINY)
    ]
    assert all(SPOKEN in plain(text) for text in texts)
    assert texts[0] != texts[1], "the models differ in a comma"
    assert transcribe(server, jfk, model=BASE, language="de", headers=ANNA).status_code == 200
    refused = transcribe(server, jfk, model=TINY, language="de", headers=ANNA)
    assert "English-only" in refused.json()["error"]["message"]


def test_a_job_that_one_replica_has_taken_is_shown_by_the_other(server: Server, jfk: bytes) -> None:
    with run_receiver() as receiver:
        job = submit(server, jfk, headers={**ANNA, **name("job-of-one")}, webhook=receiver.url)
        taker = replica_of(server, "job-of-one")
        document = receiver.wait_for_document()
    assert document["request_id"] == job
    assert SPOKEN in plain(document["results"]["text"])
    for number in range(MAX_TRIES):
        assert status_of(server, job, headers={**ANNA, **name(f"read-{number}")}) == "succeeded"
        if replica_of(server, f"read-{number}") != taker:
            break
    else:
        raise AssertionError("one replica answers everything")
    url = f"{server.url}/v1/requests/{job}"
    assert requests.get(url, headers=BERT, timeout=TIMEOUT_S).status_code == 404, "it is Anna's"


def test_metrics_are_those_of_both_replicas_whichever_answers(server: Server) -> None:
    wanted = 'hf_asr_requests_total{api="Hugging Face",status="415"}'
    for _ in range(10):
        assert requests.post(server.url, data=b"no audio", headers=ANNA, timeout=TIMEOUT_S).status_code == 415
    counted: dict[float, float] = {}

    def both_say_so() -> bool:
        found = metrics(server, ANNA)
        counted[found["process_start_time_seconds"]] = found.get(wanted, 0.0)
        return list(counted.values()) == [10.0, 10.0]

    wait_until(both_say_so, "a replica does not know what the other has counted")


def test_each_replica_gives_a_key_its_audio(server: Server, jfk: bytes) -> None:
    statuses: dict[int, list[int]] = defaultdict(list)
    for number in range(MAX_TRIES):
        request_id = f"audio-{number}"
        answer = transcribe(server, jfk, model=TINY, headers={**CARL, **name(request_id)})
        statuses[replica_of(server, request_id)].append(answer.status_code)
        if len(statuses) == 2 and all(len(given) > 1 for given in statuses.values()):
            break
    assert len(statuses) == 2
    for first, *later in statuses.values():
        assert first == 200
        assert set(later) <= {429}


def test_each_replica_gives_a_key_its_requests(server: Server) -> None:
    statuses: dict[int, set[int]] = defaultdict(set)
    numbers = count()

    def ask() -> int:
        request_id = f"requests-{next(numbers)}"
        headers = {**BERT, **name(request_id)}
        status = requests.post(server.url, data=b"no audio", headers=headers, timeout=TIMEOUT_S).status_code
        statuses[replica_of(server, request_id)].add(status)
        return status

    def is_refused() -> bool:
        """Ask, and have the less busy replica, which has answered, become the busier one."""
        if ask() == 429:
            return True
        uploads.enter_context(begin_upload(server, "key-of-anna"))
        return False

    with ExitStack() as uploads:
        uploads.enter_context(begin_upload(server, "key-of-bert"))
        wait_until(lambda: ask() == 415, "the other replica has nothing to do")
        wait_until(is_refused, "the replica with the upload is always the busier one")
    assert sorted(statuses.values(), key=min) == [{415}, {429}]


def begin_upload(server: Server, key: str) -> socket.socket:
    """Send the beginning of a request. It has a replica until its connection is closed."""
    address = urlsplit(server.url)
    assert address.hostname
    assert address.port
    connection = socket.create_connection((address.hostname, address.port))
    connection.sendall(
        f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: audio/wav\r\n"
        "Content-Length: 1000\r\n\r\n".encode()
    )
    return connection


def test_a_dead_http_replica_loses_no_job_and_only_the_requests_that_it_had(server: Server, jfk: bytes) -> None:
    replicas = http_replicas(server.process.pid)
    assert len(replicas) == 2
    with run_receiver() as receiver:
        jobs = {
            submit(server, jfk, headers={**ANNA, **name(f"kept-{number}")}, webhook=receiver.url)
            for number in range(N_JOBS)
        }
        load = Load(
            lambda request_id: transcribe(server, jfk, headers={**ANNA, **name(request_id)}),
            n_clients=N_CLIENTS,
            n_requests=REQUESTS_OF_EACH,
        )
        killed = replica_of(server, "kept-0")
        wait_until(lambda: metrics(server, ANNA)["hf_asr_requests_in_flight"] >= N_CLIENTS, "no load")
        held = kill_with_its_requests(killed, load)
        answers = load.finish()
        wait_until(lambda: len(receiver.received) >= N_JOBS, "a webhook was lost")
        documents = {received.headers["webhook-id"]: received.document() for received in receiver.received}
    assert {document["request_id"] for document in documents.values()} == jobs
    for document in documents.values():
        assert SPOKEN in plain(document["results"]["text"])
    failed = {request_id for request_id, answer in answers.items() if answer.status_code != 200}
    assert failed <= held
    assert failed, "it had no request"
    assert {answers[request_id].status_code for request_id in failed} == {500}
    for request_id, answer in answers.items():
        assert request_id in failed or SPOKEN in plain(answer.json()["text"])
    wait_until(lambda: len(http_replicas(server.process.pid)) == 2, "the replica was not replaced")
    wait_until(lambda: health(server) == {"status": "ready"}, "the new replica hears of no engine")
