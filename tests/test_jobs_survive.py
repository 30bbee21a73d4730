"""Jobs survive a server that is killed repeatedly: every result is delivered, to every kind of receiver."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from hf_asr_endpoint.jobs.sqlite import open_sqlite
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.conftest import make_flac
from tests.jobs.receiver import run_receiver
from tests.server import Server, run_server, wait_until_ready

SEED = 20261121
POLL_INTERVAL_S = 0.05
N_KILLS = 10
JOBS_PER_LIFE = 2
MAX_LOADING_S, MAX_WORKING_S = 4.0, 1.0  # from the start of the server, or from when it is ready, to its kill
DELIVERY_TIMEOUT_S = 120.0  # after four failures, the next attempt may be a minute later
TIMEOUT_S = 30.0


class Receivers:
    """Five receivers: one answers, one fails, one hangs, one redirects, and one is down at first.

    The second to fourth accept the fifth request and all later ones. The last one starts with `start_last`.
    """

    def __init__(self, running: ExitStack) -> None:
        self.well, self.failing, self.hanging, self.redirecting = (
            running.enter_context(run_receiver()) for _ in range(4)
        )
        self.failing.statuses = [500, 503, 500, 503, 200]
        self.hanging.statuses = [0, 0, 0, 0, 200]
        self.redirecting.statuses = [301, 302, 307, 308, 200]
        self.redirecting.location = self.well.url + "&redirected"
        self._last = running.enter_context(run_receiver(is_down=True))
        self.all = [self.well, self.failing, self.hanging, self.redirecting, self._last]
        self.urls = [receiver.url for receiver in self.all]

    def start_last(self) -> None:
        self._last.come_up()

    def delivered(self) -> dict[str, dict[str, Any]]:
        """Return all documents that were answered with 200, by the ids of their jobs."""
        return {
            received.headers["webhook-id"]: received.document()
            for receiver in self.all
            for received in receiver.received
            if received.status == 200
        }


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    with ExitStack() as running:
        yield Receivers(running)


def start(cache_dir: Path, data_dir: Path) -> AbstractContextManager[Server]:
    """Start the server, with the allowed hosts in their environment variable, as in a container."""
    return run_server(
        *("--model", "embedded:whisper-tiny.en", "--cache-dir", str(cache_dir)),
        *("--webhook-timeout-s", "1"),
        env={**os.environ, "HF_ASR_WEBHOOK_ALLOWED_HOSTS": " receiver.lan, 127.0.0.0/8 "},
        wait_ready=False,
        data_dir=data_dir,
    )


def submit(server: Server, clip: bytes, webhook: str, *, is_deepinfra: bool) -> str:
    """Submit a job to one of the two dialects, and return its id."""
    if is_deepinfra:
        path, files, status = "/v1/inference/openai/whisper-tiny.en", {"audio": (None, clip)}, 200
        form = {"webhook": webhook}
    else:
        path, files, status = "/v1/jobs", {"file": ("a.flac", clip)}, 202
        form = {"webhook": webhook, "model": "whisper-1", "response_format": "verbose_json"}
    answer = requests.post(server.url + path, files=files, data=form, timeout=TIMEOUT_S)
    assert answer.status_code == status, answer.text
    job_id: str = answer.json()["request_id"]
    return job_id


def transcribe(server: Server, clip: bytes) -> str:
    answer = requests.post(server.url, data=clip, timeout=TIMEOUT_S)
    text: str = answer.json()["text"]
    return text


def test_all_jobs_are_delivered_after_ten_kills_of_the_server(
    cache_dir: Path, tmp_path: Path, speech: Waveform, receivers: Receivers
) -> None:
    """Half of the kills happen while the model is loading, half while jobs run and results are delivered."""
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    clips = [make_flac(speech), make_flac(speech[: 4 * SAMPLE_RATE])]
    sent: dict[str, bytes] = {}
    of_deepinfra = set()
    for life in range(N_KILLS):
        with start(cache_dir, tmp_path) as server:
            for index in range(JOBS_PER_LIFE):
                # Both clips go to both dialects, before both kinds of kills.
                is_deepinfra = (life // 2 + index) % 2 == 0
                webhook = receivers.urls[len(sent) % len(receivers.urls)]
                job_id = submit(server, clips[index % 2], webhook, is_deepinfra=is_deepinfra)
                sent[job_id] = clips[index % 2]
                of_deepinfra |= {job_id} if is_deepinfra else set()
            is_loading = life % 2 == 0
            if not is_loading:
                wait_until_ready(server)
            # The test is about a kill at any moment, so this waits for nothing.
            time.sleep(chance.uniform(0, MAX_LOADING_S if is_loading else MAX_WORKING_S))
            server.process.kill()
            server.process.wait(TIMEOUT_S)
    with start(cache_dir, tmp_path) as server:
        wait_until_ready(server)
        receivers.start_last()
        wait_for_all(receivers, set(sent))
        texts = {clip: transcribe(server, clip) for clip in clips}
    assert "ask not what your country can do for you" in texts[clips[0]]
    assert texts[clips[1]].startswith("And so my fellow Americans")
    documents = receivers.delivered()
    assert {document["request_id"] for document in documents.values()} == set(sent)
    for document in documents.values():
        assert document["inference_status"]["status"] == "succeeded"
        assert document["results"]["text"] == texts[sent[document["request_id"]]]
        # Only results of the DeepInfra dialect have these fields.
        is_deepinfra = "input_length_ms" in document["results"] and "tokens_input" in document["inference_status"]
        assert is_deepinfra == (document["request_id"] in of_deepinfra)
    assert len(of_deepinfra) == len(sent) / 2
    assert list((tmp_path / "audio").iterdir()) == []
    assert not any("redirected" in received.path for received in receivers.well.received)
    attempts = [len(receiver.received) for receiver in receivers.all]
    print(f"received attempts: {attempts}; interrupted runs: {count_crashes(tmp_path)}")


def wait_for_all(receivers: Receivers, expected: set[str]) -> None:
    deadline = time.monotonic() + DELIVERY_TIMEOUT_S
    while receivers.delivered().keys() < expected:
        assert time.monotonic() < deadline, "results are missing"
        time.sleep(POLL_INTERVAL_S)


def count_crashes(data_dir: Path) -> int:
    database = open_sqlite(data_dir)
    n_crashes: int = database.query("SELECT sum(n_crashes) FROM jobs")[0][0]
    database.close()
    return n_crashes
