"""Jobs outlive their server: it is killed again and again, and every result arrives."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import requests

from hf_asr_endpoint.jobs.database import open_database
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.conftest import make_flac
from tests.jobs.receiver import Receiver, run_receiver
from tests.server import Server, run_server, wait_until_ready

SEED = 20261121
N_KILLS = 10
JOBS_PER_LIFE = 2
LONGEST_LOADING_S, LONGEST_WORKING_S = 4.0, 1.0  # before a kill, from the beginning, or from when it is ready
DELIVERY_TIMEOUT_S = 60.0
TIMEOUT_S = 30.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with run_receiver() as running:
        yield running


def start(cache_dir: Path, data_dir: Path) -> AbstractContextManager[Server]:
    return run_server(
        *("--model", "embedded:whisper-tiny.en", "--cache-dir", str(cache_dir)),
        *("--webhook-allowed-hosts", "127.0.0.1"),
        wait_ready=False,
        data_dir=data_dir,
    )


def submit(server: Server, clip: bytes, webhook: str) -> str:
    form = {"model": "whisper-1", "webhook": webhook}
    files = {"file": ("a.flac", clip)}
    answer = requests.post(f"{server.url}/v1/jobs", files=files, data=form, timeout=TIMEOUT_S)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["request_id"]
    return job_id


def transcribe(server: Server, clip: bytes) -> str:
    answer = requests.post(server.url, data=clip, timeout=TIMEOUT_S)
    text: str = answer.json()["text"]
    return text


def test_every_job_is_delivered_although_the_server_is_killed_ten_times(
    cache_dir: Path, tmp_path: Path, speech: Waveform, receiver: Receiver
) -> None:
    """Half of the kills come while the model is loading, half while jobs run and results are on their way."""
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    clips = [make_flac(speech), make_flac(speech[: 4 * SAMPLE_RATE])]
    sent: dict[str, bytes] = {}
    for life in range(N_KILLS):
        with start(cache_dir, tmp_path) as server:
            for index in range(JOBS_PER_LIFE):
                sent[submit(server, clips[index % 2], receiver.url)] = clips[index % 2]
            is_loading = life % 2 == 0
            if not is_loading:
                wait_until_ready(server)
            time.sleep(chance.uniform(0, LONGEST_LOADING_S if is_loading else LONGEST_WORKING_S))
            server.process.kill()
            server.process.wait(TIMEOUT_S)
    with start(cache_dir, tmp_path) as server:
        wait_until_ready(server)
        wait_for_all(receiver, set(sent))
        texts = {clip: transcribe(server, clip) for clip in clips}
    assert "ask not what your country can do for you" in texts[clips[0]]
    assert texts[clips[1]].startswith("And so my fellow Americans")
    documents = [received.document() for received in receiver.received]
    assert {document["request_id"] for document in documents} == set(sent)
    for document in documents:
        assert document["inference_status"]["status"] == "succeeded"
        assert document["results"]["text"] == texts[sent[document["request_id"]]]
    assert list((tmp_path / "audio").iterdir()) == []
    print(f"{len(documents)} deliveries of {len(sent)} results; interrupted runs: {count_crashes(tmp_path)}")


def wait_for_all(receiver: Receiver, expected: set[str]) -> None:
    deadline = time.monotonic() + DELIVERY_TIMEOUT_S
    while {received.headers["webhook-id"] for received in receiver.received} < expected:
        assert time.monotonic() < deadline, "results are missing"
        time.sleep(0.05)


def count_crashes(data_dir: Path) -> int:
    database = open_database(data_dir)
    n_crashes: int = database.query("SELECT sum(n_crashes) FROM jobs")[0][0]
    database.close()
    return n_crashes
