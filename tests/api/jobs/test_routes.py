from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from hf_asr_endpoint.api.access import Access
from hf_asr_endpoint.api.app import create_app
from hf_asr_endpoint.api.openai.job_kind import KIND, OpenAIJobKind
from hf_asr_endpoint.subtitles.limits import CueLimits
from tests.api.conftest import MODELS, Serve, make_services, serve_app, wait_for
from tests.fakes import FakeTranscriber
from tests.jobs.receiver import run_receiver
from tests.jobs.running import audio_files, make_jobs

TIMEOUT_S = 10.0
TEXT = "16000 samples"


@contextmanager
def serve_jobs(
    directory: Path,
    transcriber: FakeTranscriber,
    *,
    access: Access | None = None,
    root_path: str = "",
    **limits: float,
) -> Iterator[str]:
    kind = OpenAIJobKind(models=MODELS, cue_limits=CueLimits())
    on_audio = {} if access is None else {"on_audio": access.use.charge}
    jobs = make_jobs(directory, transcriber, kinds={KIND: kind}, **on_audio, **limits)
    services = make_services(transcriber, jobs=jobs, access=access, root_path=root_path)
    with serve_app(create_app(services)) as url:
        yield url


@pytest.fixture
def url(tmp_path: Path, transcriber: FakeTranscriber) -> Iterator[str]:
    with serve_jobs(tmp_path, transcriber) as url:
        yield url
        transcriber.release()


def post(url: str, wav: bytes, **fields: Any) -> requests.Response:
    form = {"model": "whisper-1", **fields}
    return requests.post(f"{url}/v1/jobs", files={"file": ("a.wav", wav)}, data=form, timeout=TIMEOUT_S)


def get(url: str, job_id: str) -> dict[str, Any]:
    answer = requests.get(f"{url}/v1/requests/{job_id}", timeout=TIMEOUT_S)
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


def status(url: str, job_id: str) -> str:
    value: str = get(url, job_id)["inference_status"]["status"]
    return value


def result(url: str, wav: bytes, **fields: Any) -> dict[str, Any]:
    """Submit a job and return its document once it is finished."""
    job_id = post(url, wav, **fields).json()["request_id"]
    wait_for(lambda: status(url, job_id) in ("succeeded", "failed"))
    return get(url, job_id)


def error_of(answer: requests.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    message: str = answer.json()["error"]
    return message


def test_a_job_is_accepted_with_its_id(url: str, wav: bytes, transcriber: FakeTranscriber) -> None:
    transcriber.hold()
    answer = post(url, wav)
    document = answer.json()
    assert answer.status_code == 202
    assert document["inference_status"] == {"status": "queued", "runtime_ms": 0, "cost": 0.0}
    assert answer.headers["location"] == f"/v1/requests/{document['request_id']}"
    assert list(document) == ["request_id", "inference_status"]
    wait_for(lambda: status(url, document["request_id"]) == "running")


def test_the_result_is_the_body_of_openais_path(url: str, wav: bytes) -> None:
    form = {"model": "whisper-1", "response_format": "verbose_json", "language": "german"}
    path = f"{url}/v1/audio/transcriptions"
    expected = requests.post(path, files={"file": ("a.wav", wav)}, data=form, timeout=TIMEOUT_S).json()
    document = result(url, wav, **form)
    assert document["results"] == expected
    assert document["inference_status"]["status"] == "succeeded"
    assert document["delivery"] == {"status": "none", "attempts": 0, "next_attempt_at": None, "error": None}


@pytest.mark.parametrize(
    ("response_format", "expected"),
    [("text", f"{TEXT}\n"), ("srt", f"1\n00:00:00,000 --> 00:00:01,000\n{TEXT}\n\n"), ("vtt", "WEBVTT")],
)
def test_text_formats_give_a_text_as_the_result(url: str, wav: bytes, response_format: str, expected: str) -> None:
    assert result(url, wav, response_format=response_format)["results"].startswith(expected)


def test_a_translation_job(url: str, wav: bytes, transcriber: FakeTranscriber) -> None:
    assert result(url, wav, task="translate", webhook="", prompt="Guten Tag")["results"] == {"text": TEXT}
    (options,) = transcriber.options
    assert (options.task, options.prompt) == ("translate", "Guten Tag")


def test_fields_in_the_query_string_count(url: str, wav: bytes, transcriber: FakeTranscriber) -> None:
    path, files = f"{url}/v1/jobs?task=translate", {"file": ("a.wav", wav)}
    form = {"model": "whisper-1", "prompt": "Guten Tag"}
    assert requests.post(path, files=files, data=form, timeout=TIMEOUT_S).status_code == 202
    wait_for(lambda: len(transcriber.options) == 1)
    assert (transcriber.options[0].task, transcriber.options[0].prompt) == ("translate", "Guten Tag")
    answer = requests.post(path, files=files, data={**form, "task": "transcribe"}, timeout=TIMEOUT_S)
    assert "'translate' in the query string, but 'transcribe' in the body" in error_of(answer, 422)


def test_the_webhook_receives_the_jobs_document(url: str, wav: bytes) -> None:
    with run_receiver() as receiver:
        job_id = post(url, wav, webhook=receiver.url).json()["request_id"]
        wait_for(lambda: get(url, job_id)["delivery"]["status"] == "delivered")
    (received,) = receiver.received
    document = get(url, job_id)
    assert document.pop("delivery")["attempts"] == 1
    assert (document.pop("progress"), document.pop("estimated_remaining_s")) == (1.0, 0.0)
    assert received.document() == document
    assert document["results"]["text"] == TEXT


def test_a_failed_job_shows_its_error_to_client_and_webhook(url: str) -> None:
    with run_receiver() as receiver:
        document = result(url, b"no audio", webhook=receiver.url)
        wait_for(lambda: len(receiver.received) == 1)
    assert document["inference_status"] == {"status": "failed", "runtime_ms": 0, "cost": 0.0}
    assert "not audio" in document["error"]
    assert list(receiver.received[0].document()) == ["request_id", "inference_status", "error"]


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        pytest.param({"stream": "true"}, 422, "stream is true", id="stream"),
        pytest.param({"task": "sing"}, 422, "task is 'sing'; allowed: transcribe, translate", id="task"),
        pytest.param({"task": ["translate", "translate"]}, 422, "task is given 2 times", id="twice"),
        pytest.param({"webhok": "x"}, 422, "highlight_words, webhook, task", id="unknown"),
        pytest.param({"temperature": "7"}, 422, "temperature", id="range"),
        pytest.param({"model": "other"}, 404, "'other' is not served here", id="model"),
        pytest.param({"task": "translate", "to_language": "de"}, 422, "to_language", id="of the other task"),
        pytest.param({"webhook": "http://169.254.169.254/"}, 422, "which is not a public address", id="metadata"),
        pytest.param({"webhook": "ftp://example.com/"}, 422, "allowed: http and https", id="scheme"),
    ],
)
def test_bad_parameters_are_refused_when_the_job_is_submitted(
    url: str, wav: bytes, tmp_path: Path, fields: dict[str, Any], status: int, message: str
) -> None:
    assert message in error_of(post(url, wav, **fields), status)
    assert audio_files(tmp_path) == []


def test_a_missing_file_is_refused(url: str) -> None:
    answer = requests.post(f"{url}/v1/jobs", files={"model": (None, "whisper-1")}, timeout=TIMEOUT_S)
    assert "file is missing" in error_of(answer, 422)


def test_files_may_be_as_large_as_the_servers_limit(url: str) -> None:
    """OpenAI's lower limit is only for OpenAI's paths, whose clients expect it."""
    assert post(url, bytes(300_000)).status_code == 202
    assert "allowed: 300000 bytes" in error_of(post(url, bytes(300_001)), 413)


def test_a_job_is_accepted_where_other_requests_would_wait_too_long(
    url: str, wav: bytes, transcriber: FakeTranscriber
) -> None:
    transcriber.wait_s = 10_000.0
    refused = requests.post(f"{url}/v1/audio/transcriptions", files={"file": ("a.wav", wav)}, timeout=TIMEOUT_S)
    assert refused.status_code == 429
    assert result(url, wav)["inference_status"]["status"] == "succeeded"


def test_a_full_queue_is_429(tmp_path: Path, wav: bytes, transcriber: FakeTranscriber) -> None:
    transcriber.hold()
    with serve_jobs(tmp_path, transcriber, max_running=1, max_queued=1) as url:
        post(url, wav)
        wait_for(lambda: transcriber.n_running == 1)
        assert post(url, wav).status_code == 202
        answer = post(url, wav)
        assert "1 jobs are queued; allowed: 1" in error_of(answer, 429)
        assert int(answer.headers["retry-after"]) > 0
        transcriber.release()


def test_delete_cancels_a_running_job_and_can_be_repeated(
    url: str, wav: bytes, transcriber: FakeTranscriber
) -> None:
    transcriber.hold()
    job_id = post(url, wav).json()["request_id"]
    wait_for(lambda: transcriber.n_running == 1)
    one = f"{url}/v1/requests/{job_id}"
    cancelled = requests.delete(one, timeout=TIMEOUT_S)
    assert (cancelled.status_code, cancelled.json()["inference_status"]["status"]) == (200, "cancelled")
    assert (transcriber.n_running, transcriber.n_cancelled) == (0, 1)
    assert get(url, job_id) == cancelled.json()
    assert requests.delete(one, timeout=TIMEOUT_S).json() == cancelled.json()
    assert get(url, job_id) == cancelled.json()


def test_delete_removes_a_finished_job(url: str, wav: bytes) -> None:
    job_id = result(url, wav)["request_id"]
    one = f"{url}/v1/requests/{job_id}"
    assert requests.delete(one, timeout=TIMEOUT_S).json() == {"request_id": job_id, "deleted": True}
    for method in ("GET", "DELETE"):
        assert job_id in error_of(requests.request(method, one, timeout=TIMEOUT_S), 404)


def test_a_server_without_jobs_is_503(serve: Serve, wav: bytes) -> None:
    url = serve(FakeTranscriber())
    assert "does not accept jobs" in error_of(post(url, wav), 503)
    assert requests.get(f"{url}/info", timeout=TIMEOUT_S).json()["job_limits"] is None


def test_info_shows_the_limits_of_jobs(url: str) -> None:
    assert requests.get(f"{url}/info", timeout=TIMEOUT_S).json()["job_limits"] == {
        "max_queued_jobs": 10,
        "max_running_jobs": 2,
        "job_retention_s": 60.0,
    }


def test_a_stopped_server_frees_its_folder_and_leaves_running_jobs_queued(
    tmp_path: Path, wav: bytes, transcriber: FakeTranscriber
) -> None:
    transcriber.hold()
    with serve_jobs(tmp_path, transcriber) as url:
        job_id = post(url, wav).json()["request_id"]
        wait_for(lambda: transcriber.n_running == 1)
    assert transcriber.is_closed
    with serve_jobs(tmp_path, FakeTranscriber()) as url:
        wait_for(lambda: status(url, job_id) == "succeeded")


def test_metrics_count_jobs_and_deliveries_by_status(url: str, wav: bytes, transcriber: FakeTranscriber) -> None:
    transcriber.hold()
    running = post(url, wav).json()["request_id"]
    wait_for(lambda: status(url, running) == "running")
    assert 'hf_asr_jobs{status="running"} 1.0' in requests.get(f"{url}/metrics", timeout=TIMEOUT_S).text
    transcriber.release()
    wait_for(lambda: status(url, running) == "succeeded")
    metrics = requests.get(f"{url}/metrics", timeout=TIMEOUT_S).text
    assert 'hf_asr_jobs{status="running"} 0.0' in metrics
    assert 'hf_asr_jobs{status="succeeded"} 1.0' in metrics
    assert 'hf_asr_deliveries{status="none"} 1.0' in metrics


def test_the_location_of_a_job_has_the_proxys_path(
    tmp_path: Path, wav: bytes, transcriber: FakeTranscriber
) -> None:
    with serve_jobs(tmp_path, transcriber, root_path="/whisper") as url:
        location = post(f"{url}/whisper", wav).headers["location"]
        assert location.startswith("/whisper/v1/requests/R")
        assert requests.get(url + location, timeout=TIMEOUT_S).status_code == 200
