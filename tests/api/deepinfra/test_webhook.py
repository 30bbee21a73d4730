"""The field `webhook`: a response at once, and the result later at the caller's URL."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from hf_asr_endpoint.api.app import create_app
from hf_asr_endpoint.api.deepinfra.job_kind import KIND, DeepInfraJobKind
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.types import Word
from tests.api.conftest import MODELS, Serve, make_services, make_wav, serve_app, wait_for
from tests.fakes import FakeTranscriber, make_segment
from tests.jobs.receiver import Receiver, run_receiver
from tests.jobs.running import audio_files, make_jobs

TIMEOUT_S = 10.0
TEXT = "16000 samples"
PATH = "/v1/inference/openai/whisper-base"
PRICE_PER_S = 0.25


@contextmanager
def serve_jobs(directory: Path, transcriber: FakeTranscriber, **limits: float) -> Iterator[str]:
    kind = DeepInfraJobKind(models=MODELS, price_per_s=PRICE_PER_S)
    jobs = make_jobs(directory, transcriber, kinds={KIND: kind}, **limits)
    with serve_app(create_app(make_services(transcriber, jobs=jobs, price_per_s=PRICE_PER_S))) as url:
        yield url


@pytest.fixture
def url(tmp_path: Path, transcriber: FakeTranscriber) -> Iterator[str]:
    with serve_jobs(tmp_path, transcriber) as url:
        yield url
        transcriber.release()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with run_receiver() as running:
        yield running


def post(url: str, wav: bytes, path: str = PATH, **fields: Any) -> requests.Response:
    return requests.post(url + path, files={"audio": (None, wav)}, data=fields, timeout=TIMEOUT_S)


def accepted(answer: requests.Response) -> str:
    """Check the response to an accepted job, and return the job's id."""
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["inference_status"] == {"status": "queued", "runtime_ms": 0, "cost": 0.0}
    assert list(document) == ["request_id", "inference_status"]
    job_id: str = document["request_id"]
    return job_id


def status(url: str, job_id: str) -> dict[str, Any]:
    document: dict[str, Any] = requests.get(f"{url}/v1/requests/{job_id}", timeout=TIMEOUT_S).json()
    return document


def error_of(answer: requests.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    message: str = answer.json()["error"]
    return message


def refusal_of(answer: requests.Response) -> str:
    """Return the message of a 422 about the webhook, in FastAPI's format."""
    assert answer.status_code == 422, answer.text
    (detail,) = answer.json()["detail"]
    assert (detail["loc"], detail["type"]) == (["body", "webhook"], "value_error")
    message: str = detail["msg"]
    return message


def test_the_webhook_receives_the_same_result_as_a_caller_without_one(
    tmp_path: Path, wav: bytes, receiver: Receiver
) -> None:
    words = (Word(word=" Grüße", start=0.0, end=0.5, probability=0.75),)
    transcriber = FakeTranscriber(segments=[make_segment(" Grüße", end=0.5, words=words, tokens=(1, 2))])
    with serve_jobs(tmp_path, transcriber) as url:
        fields = {"chunk_level": "word", "language": '"de"'}
        expected = post(url, wav, **fields).json()
        job_id = accepted(post(url, wav, webhook=receiver.url, **fields))
        document = receiver.wait_for_document()
        wait_for(lambda: status(url, job_id)["delivery"]["status"] == "delivered")
        job = status(url, job_id)
    assert document["request_id"] == job_id
    for answer in (expected, document):
        assert answer["inference_status"].pop("runtime_ms") >= 0
    assert document["inference_status"] == expected["inference_status"]
    assert document["inference_status"]["cost"] == PRICE_PER_S
    del expected["request_id"], expected["inference_status"]
    assert document["results"] == expected
    assert document["results"]["words"] == [{"text": "Grüße", "start": 0.0, "end": 0.5}]
    assert list(document) == ["request_id", "inference_status", "results"]
    assert job["results"] == expected
    first, second = transcriber.options
    assert first == second


def test_a_failure_is_delivered_without_time_and_cost(url: str, receiver: Receiver) -> None:
    job_id = accepted(post(url, b"\0no audio", webhook=receiver.url))
    document = receiver.wait_for_document()
    assert document["inference_status"] == {"status": "failed", "runtime_ms": 0, "cost": 0.0}
    assert "not audio" in document["error"]
    assert (document["request_id"], list(document)) == (job_id, ["request_id", "inference_status", "error"])


def test_options_that_the_model_cannot_follow_are_delivered_as_a_failure(
    tmp_path: Path, wav: bytes, receiver: Receiver
) -> None:
    transcriber = FakeTranscriber(failure=InvalidParameter("suppress_tokens has 60000"))
    with serve_jobs(tmp_path, transcriber) as url:
        accepted(post(url, wav, suppress_tokens="60000", webhook=receiver.url))
        assert receiver.wait_for_document()["error"] == "suppress_tokens has 60000"


@pytest.mark.parametrize("is_json", [False, True], ids=["form", "JSON"])
def test_a_webhook_in_a_form_and_in_json(url: str, wav: bytes, receiver: Receiver, is_json: bool) -> None:
    if is_json:
        document = {"audio": b64encode(wav).decode(), "webhook": receiver.url}
        answer = requests.post(url + PATH, json=document, timeout=TIMEOUT_S)
    else:
        answer = post(url, wav, webhook=json.dumps(receiver.url))
    accepted(answer)
    assert receiver.wait_for_document()["results"]["text"] == TEXT


def test_a_webhook_in_the_query_string(url: str, wav: bytes, receiver: Receiver) -> None:
    path = f"/v1/inference/deploy/whisper-1?task=translate&webhook={receiver.url}"
    accepted(post(url, wav, path))
    assert receiver.wait_for_document()["results"]["text"] == TEXT


@pytest.mark.parametrize("webhook", ["", "null", '""'])
def test_an_empty_webhook_means_no_webhook(url: str, wav: bytes, webhook: str) -> None:
    assert post(url, wav, webhook=webhook).json()["text"] == TEXT


@pytest.mark.parametrize(
    ("webhook", "message"),
    [
        ("http://169.254.169.254/latest", "which is not a public address"),
        ("http://10.0.0.7/", "which is not a public address"),
        ("http://[::1]/", "which is not a public address"),
        ("http://localhost.:1/", "which has no address|which is"),
        ("ftp://example.com/", "allowed: http and https"),
        ("https://user:password@example.com/", "user name or password"),
        ("example.com/hook", "has the scheme"),
        ("5", "has the scheme"),
        ('["https://example.com/"]', "not a plain URL|has the scheme"),
        ("https://example.com/ü", "not a plain URL"),
        ("https://example.com/" + "x" * 3000, "2048 printable ASCII characters"),
    ],
)
def test_hostile_webhooks_are_422(url: str, wav: bytes, tmp_path: Path, webhook: str, message: str) -> None:
    refusal = refusal_of(post(url, wav, webhook=webhook))
    assert any(part in refusal for part in message.split("|"))
    assert audio_files(tmp_path) == []


def test_a_webhook_twice_is_422(url: str, wav: bytes, receiver: Receiver) -> None:
    answer = post(url, wav, webhook=[receiver.url, "https://example.com/"])
    assert "given twice" in refusal_of(answer)


@pytest.mark.parametrize(
    ("fields", "parameter"), [({"temperature": "7"}, "temperature"), ({"promt": "x"}, "promt")]
)
def test_bad_parameters_are_refused_at_once(
    url: str, wav: bytes, receiver: Receiver, fields: dict[str, str], parameter: str
) -> None:
    answer = post(url, wav, webhook=receiver.url, **fields)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", parameter]


@pytest.mark.parametrize(
    ("media_type", "n_bytes"),
    [("audio/L16;rate=16000", 32_000), ("audio/PCMU", 8_000), ("audio/PCMA;rate=16000", 16_000)],
)
def test_a_job_keeps_the_format_of_samples_without_a_header(
    url: str, receiver: Receiver, media_type: str, n_bytes: int
) -> None:
    audio = f"data:{media_type};base64,{b64encode(bytes(n_bytes)).decode()}"
    answer = requests.post(url + PATH, json={"audio": audio, "webhook": receiver.url}, timeout=TIMEOUT_S)
    accepted(answer)
    assert receiver.wait_for_document()["results"]["text"] == "16000 samples"


def test_a_large_file_without_filename(url: str, receiver: Receiver) -> None:
    accepted(post(url, make_wav(149_000), webhook=receiver.url))
    assert receiver.wait_for_document()["results"]["text"] == "149000 samples"


def test_a_full_queue_is_429(tmp_path: Path, wav: bytes, transcriber: FakeTranscriber, receiver: Receiver) -> None:
    transcriber.hold()
    with serve_jobs(tmp_path, transcriber, max_running=1, max_queued=1) as url:
        accepted(post(url, wav, webhook=receiver.url))
        wait_for(lambda: transcriber.n_running == 1)
        accepted(post(url, wav, webhook=receiver.url))
        answer = post(url, wav, webhook=receiver.url)
        assert "1 jobs are queued; allowed: 1" in error_of(answer, 429)
        assert int(answer.headers["retry-after"]) > 0
        transcriber.release()


def test_an_unwritable_disk_is_507(url: str, wav: bytes, tmp_path: Path, receiver: Receiver) -> None:
    (tmp_path / "audio").rmdir()
    assert "cannot be kept" in error_of(post(url, wav, webhook=receiver.url), 507)


def test_a_server_without_jobs_is_503(serve: Serve, wav: bytes, receiver: Receiver) -> None:
    assert "does not accept jobs" in error_of(post(serve(FakeTranscriber()), wav, webhook=receiver.url), 503)
