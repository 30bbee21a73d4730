"""Progress of jobs: in their document, and as events."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.api.conftest import wait_for
from tests.api.jobs.test_routes import TIMEOUT_S, get, post, serve_jobs, status
from tests.fakes import FakeTranscriber, make_segment

SEGMENTS = (make_segment(" One,", end=0.25), make_segment(" two.", start=0.5, end=0.75))


@pytest.fixture
def transcriber() -> Iterator[FakeTranscriber]:
    fake = FakeTranscriber(segments=SEGMENTS)
    yield fake
    fake.release()


@pytest.fixture
def url(tmp_path: Path, transcriber: FakeTranscriber) -> Iterator[str]:
    with serve_jobs(tmp_path, transcriber, max_running=1) as url:
        yield url
        transcriber.release()


def submit(url: str, wav: bytes) -> str:
    job_id: str = post(url, wav).json()["request_id"]
    return job_id


def events(url: str, job_id: str) -> Iterator[dict[str, Any]]:
    """Yield the documents, as they come."""
    with requests.get(f"{url}/v1/requests/{job_id}/events", stream=True, timeout=TIMEOUT_S) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = None
        for line in answer.iter_lines(decode_unicode=True):
            if found := re.fullmatch(r"event: (.*)", line):
                name = found[1]
            elif found := re.fullmatch(r"data: (.*)", line):
                document = json.loads(found[1])
                assert name == document.get("type", "error")
                yield document


def test_a_job_tells_how_far_it_is(url: str, wav: bytes, transcriber: FakeTranscriber) -> None:
    transcriber.hold(after=1)
    running, queued = submit(url, wav), submit(url, wav)
    wait_for(lambda: get(url, running)["progress"] == 0.25)
    assert get(url, running)["estimated_remaining_s"] >= 0
    assert (get(url, queued)["progress"], get(url, queued)["estimated_remaining_s"]) == (0.0, None)
    transcriber.release()
    wait_for(lambda: status(url, queued) == "succeeded")
    assert (get(url, running)["progress"], get(url, running)["estimated_remaining_s"]) == (1.0, 0.0)


def test_events_tell_the_progress_and_end_with_the_job(url: str, wav: bytes, transcriber: FakeTranscriber) -> None:
    transcriber.hold(after=1)
    job_id = submit(url, wav)
    wait_for(lambda: get(url, job_id)["progress"] == 0.25)
    received = events(url, job_id)
    first = next(received)
    assert first.pop("estimated_remaining_s") >= 0
    assert first == {"type": "job.progress", "request_id": job_id, "status": "running", "progress": 0.25}
    transcriber.release()
    *_, last = received
    assert last.pop("type") == "job.done"
    assert last == get(url, job_id)
    assert last["results"]["text"] == "One, two."


def test_the_events_of_a_job_that_has_ended_are_the_job(url: str, wav: bytes) -> None:
    job_id = submit(url, wav)
    wait_for(lambda: status(url, job_id) == "succeeded")
    assert list(events(url, job_id)) == [{"type": "job.done", **get(url, job_id)}]


def test_a_queued_job_is_watched_from_its_beginning(url: str, wav: bytes, transcriber: FakeTranscriber) -> None:
    transcriber.hold()
    submit(url, wav)
    job_id = submit(url, wav)
    received = events(url, job_id)
    assert next(received)["status"] == "queued"
    transcriber.release()
    assert [document["type"] for document in received][-1] == "job.done"


def test_a_job_that_is_cancelled_ends_its_events(url: str, wav: bytes, transcriber: FakeTranscriber) -> None:
    transcriber.hold()
    job_id = submit(url, wav)
    received = events(url, job_id)
    next(received)
    requests.delete(f"{url}/v1/requests/{job_id}", timeout=TIMEOUT_S)
    *_, last = received
    assert (last["type"], last["inference_status"]["status"], last["progress"]) == ("job.done", "cancelled", None)


def test_the_events_of_an_unknown_job_are_404(url: str) -> None:
    answer = requests.get(f"{url}/v1/requests/R123/events", timeout=TIMEOUT_S)
    assert answer.status_code == 404
    assert "R123" in answer.json()["error"]
