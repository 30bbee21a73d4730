"""Errors on DeepInfra's paths."""

from __future__ import annotations

import json
import socket
from base64 import b64encode
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from hf_asr_endpoint.errors import AsrError, EngineError, EngineUnavailable, InvalidAudio, InvalidParameter
from tests.api.conftest import Serve, make_wav, wait_for
from tests.api.deepinfra.asking import PATH, TIMEOUT_S, detail_of, error_of, post, post_json
from tests.fakes import FakeTranscriber


@pytest.mark.parametrize(
    ("fields", "parameter", "kind", "message"),
    [
        ({"temperature": "2"}, "temperature", "value_error", "from 0.001 to 1"),
        ({"chunk_length_s": "31"}, "chunk_length_s", "value_error", "from 1 to 30"),
        ({"language": '"xx"'}, "language", "value_error", "allowed: one of Whisper's"),
        ({"lang": "de"}, "lang", "extra_forbidden", "allowed: audio, task"),
    ],
)
def test_bad_parameters_are_422(
    url: str, wav: bytes, fields: dict[str, str], parameter: str, kind: str, message: str
) -> None:
    for detail in (detail_of(post(url, wav, **fields)), detail_of(post_json(url, audio="UklGRg==", **fields))):
        assert (detail["loc"], detail["type"]) == (["body", parameter], kind)
        assert message in detail["msg"]


@pytest.mark.parametrize(
    ("files", "kind", "message"),
    [
        pytest.param({"task": (None, "transcribe")}, "missing", "audio is missing", id="none"),
        pytest.param({"audio": ("a.wav", b"")}, "value_error", "audio is empty", id="empty"),
        pytest.param(
            {"file": ("a.wav", b"RIFF\xff\xfe")}, "value_error", "allowed as a file: audio", id="another name"
        ),
        pytest.param({"file": ("a.wav", b"RIFF")}, "missing", "audio is missing", id="another text"),
    ],
)
def test_missing_audio_is_422(url: str, files: dict[str, Any], kind: str, message: str) -> None:
    detail = detail_of(requests.post(url + PATH, files=files, timeout=TIMEOUT_S))
    assert detail["type"] == kind
    assert message in detail["msg"]


def test_audio_twice_is_422(url: str, wav: bytes) -> None:
    files = [("audio", ("a.wav", wav)), ("audio", ("b.wav", wav))]
    answer = requests.post(url + PATH, files=files, timeout=TIMEOUT_S)
    assert "given twice" in detail_of(answer)["msg"]
    answer = requests.post(url + PATH, data='{"audio": "AA==", "audio": "AA=="}', timeout=TIMEOUT_S)
    assert "given twice" in detail_of(answer)["msg"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ('{"task": "transcribe"}', "audio is missing"),
        ("{}", "audio is missing"),
        ('{"audio": 5}', "audio is a number; allowed: base64"),
        ('{"audio": null}', "audio is null; allowed: base64"),
        ('{"audio": {"a": 1}}', "audio is an object; allowed: base64"),
        ('{"audio": "AA==", "task": {"a": 1}}', "task is an object"),
        ('{"audio": "AA==", "suppress_tokens": {}}', "suppress_tokens is an object"),
        ('{"audio": "AA==", "initial_prompt": ["a"]}', "initial_prompt is a list"),
        ('{"audio": "AA==", "suppress_tokens": [[1]]}', "suppress_tokens is '[[1]]'"),
        ('{"audio": "AA==", "task": "translate", "task": "translate"}', "task is given twice"),
        (json.dumps({"audio": "AA==", "initial_prompt": "x" * 10_001}), "at most 10000 characters"),
    ],
)
def test_bad_fields_in_json_are_422(url: str, document: str, message: str) -> None:
    assert message in detail_of(requests.post(url + PATH, data=document, timeout=TIMEOUT_S))["msg"]


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        pytest.param(b'{"audio": ', "application/json", "not valid", id="broken JSON"),
        pytest.param(b'["audio"]', "application/json", "the JSON body is a list", id="a list"),
        pytest.param(b'{"audio": "no audio!"}', "application/json", "not valid base64", id="not base64"),
        pytest.param(b'{"audio": "http://x/a.wav"}', "application/json", "URLs are not opened", id="URL"),
        pytest.param(b"RIFF", "audio/wav", "not a multipart form", id="raw audio"),
        pytest.param(b"", "multipart/form-data; boundary=x", "body is empty", id="empty"),
        pytest.param(b"--x\r\nContent-Disp", "multipart/form-data; boundary=x", "breaks off", id="cut off"),
    ],
)
def test_malformed_bodies_are_400(url: str, body: bytes, content_type: str, message: str) -> None:
    answer = requests.post(url + PATH, data=body, headers={"Content-Type": content_type}, timeout=TIMEOUT_S)
    assert message in error_of(answer, 400)


def test_a_file_other_than_audio_is_415(url: str) -> None:
    assert "not audio" in error_of(post(url, b"no audio"), 415)


@pytest.mark.parametrize("n_bytes", [300_001, 3_000_000], ids=["as a file", "as a body"])
def test_a_file_above_the_limit_is_413(url: str, n_bytes: int) -> None:
    assert error_of(post(url, bytes(n_bytes)), 413)


def test_base64_above_the_limit_is_413(url: str) -> None:
    assert "300001 bytes of audio" in error_of(post_json(url, audio=b64encode(bytes(300_001)).decode()), 413)


def test_a_file_of_exactly_the_limit_is_accepted(url: str) -> None:
    wav = make_wav((300_000 - 44) // 2)
    assert len(wav) == 300_000
    assert post(url, wav).status_code == 200
    assert post_json(url, audio=b64encode(wav).decode()).status_code == 200


def test_audio_above_the_time_limit_is_413(serve: Serve, wav: bytes) -> None:
    answer = post(serve(FakeTranscriber(), max_audio_s=0.5), wav)
    assert "allowed: at most 0.5 s" in error_of(answer, 413)


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (InvalidAudio("broken"), 400),
        (EngineError("the model failed: OutOfMemoryError"), 500),
        (EngineUnavailable("the server is shutting down"), 503),
    ],
)
def test_failures_of_the_transcriber_have_their_status(
    serve: Serve, wav: bytes, failure: AsrError, status: int
) -> None:
    assert error_of(post(serve(FakeTranscriber(failure=failure)), wav), status) == str(failure)


def test_a_parameter_that_the_model_cannot_follow_is_422(serve: Serve, wav: bytes) -> None:
    failure = InvalidParameter("task is 'translate', but the model is English-only", parameter="task")
    assert detail_of(post(serve(FakeTranscriber(failure=failure)), wav))["loc"] == ["body", "task"]


def test_a_bug_is_500(serve: Serve, wav: bytes) -> None:
    answer = post(serve(FakeTranscriber(failure=ZeroDivisionError())), wav)
    assert error_of(answer, 500).startswith("the server failed")


def test_too_many_requests_are_429_with_the_time_to_try_again(serve: Serve, wav: bytes) -> None:
    answer = post(serve(FakeTranscriber(), max_concurrent_requests=0), wav)
    assert "allowed: 0 at a time" in error_of(answer, 429)
    assert int(answer.headers["retry-after"]) > 0


def test_a_client_that_leaves_cancels_the_work(url: str, wav: bytes, transcriber: FakeTranscriber) -> None:
    transcriber.hold()
    prepared = requests.Request("POST", url + PATH, files={"audio": wav}).prepare()
    assert isinstance(prepared.body, bytes)
    head = "".join(f"{name}: {value}\r\n" for name, value in prepared.headers.items())
    request = f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode() + prepared.body
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), TIMEOUT_S) as connection:
        connection.sendall(request)
        wait_for(lambda: transcriber.n_running == 1)
    wait_for(lambda: transcriber.n_cancelled == 1)
