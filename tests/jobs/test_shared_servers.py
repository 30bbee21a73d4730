"""Two real servers share jobs by a database and a folder; one is killed, and the other goes on."""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager
from pathlib import Path

import requests

from hf_asr_endpoint.types import Waveform
from tests.conftest import make_flac
from tests.jobs.place import Place
from tests.server import Server, run_server, wait_until_ready

TIMEOUT_S = 30.0
DEADLINE_S = 60.0
POLL_INTERVAL_S = 0.1
TEXT = "ask not what your country can do for you"


def start(place: Place, cache_dir: Path) -> AbstractContextManager[Server]:
    return run_server(
        *("--model", "embedded:whisper-tiny.en", "--cache-dir", str(cache_dir)),
        *("--cpu-level", "none"),  # Compiles nothing.
        *("--jobs-storage", str(place.directory), "--job-lease-s", "1"),
        env={**os.environ, "HF_ASR_JOBS_DATABASE": str(place.database_url)},
        wait_ready=False,
        data_dir=None,
    )


def submit(server: Server, clip: bytes) -> str:
    answer = requests.post(
        f"{server.url}/v1/jobs", files={"file": ("a.flac", clip)}, data={"model": "whisper-1"}, timeout=TIMEOUT_S
    )
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["request_id"]
    return job_id


def result(server: Server, job_id: str) -> str:
    """Return the text of a job when it has ended."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        document = requests.get(f"{server.url}/v1/requests/{job_id}", timeout=TIMEOUT_S).json()
        if "results" in document:
            text: str = document["results"]["text"]
            return text
        time.sleep(POLL_INTERVAL_S)
    raise AssertionError(f"job {job_id} did not end")


def test_two_servers_share_jobs_and_one_takes_over_those_of_the_other(
    shared_place: Place, cache_dir: Path, speech: Waveform
) -> None:
    clip = make_flac(speech)
    with start(shared_place, cache_dir) as first, start(shared_place, cache_dir) as second:
        wait_until_ready(first)
        wait_until_ready(second)
        assert TEXT in result(second, submit(first, clip))
        accepted = [submit(first, clip) for _ in range(6)]
        first.process.kill()
        first.process.wait(TIMEOUT_S)
        assert all(TEXT in result(second, job_id) for job_id in accepted)
    assert shared_place.audio_files() == []
