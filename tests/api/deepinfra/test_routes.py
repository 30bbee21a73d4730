from __future__ import annotations

import gzip
import json
import socket
from base64 import b64encode
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from starlette.applications import Starlette

from hf_asr_endpoint.api.app import create_app
from hf_asr_endpoint.errors import AsrError, EngineError, EngineUnavailable, InvalidAudio, InvalidParameter
from hf_asr_endpoint.subtitles.cues import CueLimits
from tests.api.conftest import MODEL_NAMES, Serve, make_limits, make_wav, serve_app, wait_for
from tests.fakes import FakeTranscriber

TIMEOUT_S = 10.0
TEXT = "16000 samples"
PATH = "/v1/inference/openai/whisper-base"
MISSING = "/v1/inference/openai/whisper-large"


def post(url: str, wav: bytes, path: str = PATH, **fields: Any) -> requests.Response:
    return requests.post(url + path, files={"audio": ("a.wav", wav)}, data=fields, timeout=TIMEOUT_S)


def post_json(url: str, path: str = PATH, **document: Any) -> requests.Response:
    return requests.post(url + path, json=document, timeout=TIMEOUT_S)


def error_of(answer: requests.Response, status: int) -> str:
    """Return the sentence of an error that is not about a parameter."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    (key,) = answer.json()
    assert key == "error"
    sentence: str = answer.json()["error"]
    assert answer.headers["x-error-message"]
    return sentence


def detail_of(answer: requests.Response) -> dict[str, Any]:
    """Return the one entry of a 422, in FastAPI's form."""
    assert answer.status_code == 422, answer.text
    assert list(answer.json()) == ["detail"]
    (detail,) = answer.json()["detail"]
    assert sorted(detail) == ["loc", "msg", "type"]
    assert answer.headers["x-error-message"]
    found: dict[str, Any] = detail
    return found


@pytest.mark.parametrize("name", ["openai/whisper-base", "whisper-base", "whisper-1", "openai%2Fwhisper-base"])
@pytest.mark.parametrize("prefix", ["/v1/inference/", "/v1/inference/deploy/"])
def test_each_path_and_name(url: str, wav: bytes, prefix: str, name: str) -> None:
    answer = post(url, wav, prefix + name, task="transcribe")
    assert answer.status_code == 200
    assert answer.json()["text"] == TEXT


def test_an_answer(url: str, wav: bytes, transcriber: FakeTranscriber) -> None:
    answer = requests.post(
        url + PATH, files={"audio": ("a.wav", wav)}, headers={"x-request-id": "R42"}, timeout=TIMEOUT_S
    )
    body = answer.json()
    assert (body["text"], body["language"], body["request_id"]) == (TEXT, "en", "R42")
    assert (body["input_length_ms"], body["duration"]) == (1000, 1.0)
    assert body["segments"][0]["text"] == f" {TEXT}"
    assert "words" not in body
    status = body["inference_status"]
    assert (status["status"], status["cost"], status["tokens_input"]) == ("succeeded", 0.0, 50)
    assert status["runtime_ms"] >= 0
    assert transcriber.options[0].condition_on_previous_text


def test_the_request_id_is_that_of_the_header(url: str, wav: bytes) -> None:
    answer = post(url, wav)
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": "bearer any"}, {"Authorization": "Bearer jwt:x"}, {"xi-api-key": "any"}, {}],
    ids=lambda headers: " ".join(headers) or "none",
)
def test_any_key_or_none_will_do(url: str, wav: bytes, headers: dict[str, str]) -> None:
    answer = requests.post(url + PATH, files={"audio": wav}, headers=headers, timeout=TIMEOUT_S)
    assert answer.status_code == 200


@pytest.mark.parametrize("size", [16_000, 145_000], ids=["in memory", "near the limit"])
def test_audio_without_filename(url: str, size: int) -> None:
    """deepinfra-node sends buffers so."""
    files = {"audio": (None, make_wav(size)), "task": (None, '"transcribe"')}
    assert requests.post(url + PATH, files=files, timeout=TIMEOUT_S).json()["text"] == f"{size} samples"


def test_a_large_file_without_filename(serve: Serve, transcriber: FakeTranscriber) -> None:
    url = serve(transcriber, max_audio_bytes=5_000_000, max_audio_s=600.0)
    files = {"audio": (None, make_wav(2_000_000))}
    assert requests.post(url + PATH, files=files, timeout=TIMEOUT_S).json()["text"] == "2000000 samples"


@pytest.mark.parametrize("prefix", ["", "data:audio/wav;base64,", "data:;base64,"])
def test_audio_as_text(url: str, wav: bytes, prefix: str) -> None:
    text = prefix + b64encode(wav).decode()
    files = {"audio": (None, text)}
    assert requests.post(url + PATH, files=files, timeout=TIMEOUT_S).json()["text"] == TEXT
    assert post_json(url, audio=text).json()["text"] == TEXT


FIELDS: dict[str, Any] = {
    "task": "translate",
    "language": "de",
    "initial_prompt": "Guten Tag",
    "temperature": 0.5,
    "condition_on_previous_text": False,
    "temperature_increment_on_fallback": None,
    "suppress_tokens": "1,2",
    "chunk_level": "word",
    "chunk_length_s": 10,
}


def check_options(transcriber: FakeTranscriber) -> None:
    (options,) = transcriber.options
    assert (options.task, options.language, options.prompt) == ("translate", "de", "Guten Tag")
    assert (options.decoding.temperatures, options.decoding.suppress_tokens) == ((0.5,), (1, 2))
    assert (options.condition_on_previous_text, options.word_timestamps, options.max_chunk_s) == (False, True, 10)


def test_fields_as_json_in_a_form(url: str, wav: bytes, transcriber: FakeTranscriber) -> None:
    fields = {name: json.dumps(value) for name, value in FIELDS.items()}
    assert post(url, wav, **fields).json()["words"] == []
    check_options(transcriber)


def test_fields_in_a_json_body(url: str, wav: bytes, transcriber: FakeTranscriber) -> None:
    assert post_json(url, audio=b64encode(wav).decode(), **FIELDS).status_code == 200
    check_options(transcriber)


def test_fields_in_the_query_string(url: str, wav: bytes, transcriber: FakeTranscriber) -> None:
    query = "task=translate&language=de&initial_prompt=Guten+Tag&condition_on_previous_text=false&chunk_level=word"
    more = {"temperature": "0.5", "temperature_increment_on_fallback": "0", "suppress_tokens": "1,2"}
    assert post(url, wav, f"{PATH}?{query}", chunk_length_s="10", **more).status_code == 200
    check_options(transcriber)


def test_a_field_in_query_and_form_is_given_twice(url: str, wav: bytes) -> None:
    detail = detail_of(post(url, wav, f"{PATH}?task=translate", task="translate"))
    assert "given twice" in detail["msg"]


def test_a_compressed_form(url: str, wav: bytes) -> None:
    prepared = requests.Request("POST", url, files={"audio": (None, wav)}, data={"task": "translate"}).prepare()
    headers = {"Content-Type": prepared.headers["Content-Type"], "Content-Encoding": "gzip"}
    assert isinstance(prepared.body, bytes)
    body = gzip.compress(prepared.body)
    assert requests.post(url + PATH, data=body, headers=headers, timeout=TIMEOUT_S).json()["text"] == TEXT
    answer = requests.post(url + PATH, data=body, headers={"Content-Encoding": "zstd"}, timeout=TIMEOUT_S)
    assert "allowed: one of gzip" in error_of(answer, 415)


@pytest.mark.parametrize("path", [MISSING, "/v1/inference/deploy/x", "/v1/inference/", "/v1/inference/deploy/"])
def test_another_model_is_404(url: str, wav: bytes, path: str) -> None:
    assert "allowed: openai/whisper-base, whisper-base, whisper-1" in error_of(post(url, wav, path), 404)


@pytest.mark.parametrize("path", ["", "/", "/deploy", "/deploy/"])
def test_no_model_is_404(url: str, wav: bytes, path: str) -> None:
    answer = post(url, wav, f"/v1/inference{path}")
    assert answer.history == []  # No redirect.
    assert "allowed: openai/whisper-base, whisper-base, whisper-1" in error_of(answer, 404)


def serving(**settings: Any) -> Starlette:
    return create_app(
        FakeTranscriber(), model_names=MODEL_NAMES, limits=make_limits(), cue_limits=CueLimits(), **settings
    )


def test_a_version_must_be_the_served_one(wav: bytes) -> None:
    with serve_app(serving(model_revision="abc")) as url:
        assert post(url, wav, f"{PATH}?version=abc").status_code == 200
        assert post(url, wav, f"{PATH}?version=").status_code == 200
        assert "the version 'abd' is not served here; allowed: 'abc'" in error_of(
            post(url, wav, f"{PATH}?version=abd"), 404
        )


def test_a_version_twice_is_422(url: str, wav: bytes) -> None:
    assert "given 2 times" in detail_of(post(url, wav, f"{PATH}?version=&version=abc"))["msg"]


def test_without_a_revision_there_is_no_version(url: str, wav: bytes) -> None:
    assert "allowed: none" in error_of(post(url, wav, f"{PATH}?version=abc"), 404)


def test_the_cost_is_the_price_of_the_audio(wav: bytes) -> None:
    with serve_app(serving(price_per_s=0.25)) as url:
        assert post(url, wav).json()["inference_status"]["cost"] == 0.25


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
        pytest.param({"file": ("a.wav", b"RIFF")}, "value_error", "allowed as a file: audio", id="another name"),
    ],
)
def test_missing_audio_is_422(url: str, files: dict[str, Any], kind: str, message: str) -> None:
    detail = detail_of(requests.post(url + PATH, files=files, timeout=TIMEOUT_S))
    assert detail["type"] == kind
    assert message in detail["msg"]


def test_audio_twice_is_422(url: str, wav: bytes) -> None:
    files = [("audio", ("a.wav", wav)), ("audio", ("b.wav", wav))]
    answer = requests.post(url + PATH, files=files, timeout=TIMEOUT_S)
    assert "given 2 times" in detail_of(answer)["msg"]
    answer = requests.post(url + PATH, data='{"audio": "AA==", "audio": "AA=="}', timeout=TIMEOUT_S)
    assert "given 2 times" in detail_of(answer)["msg"]


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
        (json.dumps({"audio": "AA==", "initial_prompt": "x" * 70_000}), "70002 bytes long"),
    ],
)
def test_json_whose_fields_are_wrong_is_422(url: str, document: str, message: str) -> None:
    assert message in detail_of(requests.post(url + PATH, data=document, timeout=TIMEOUT_S))["msg"]


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        pytest.param(b'{"audio": ', "application/json", "not valid", id="broken JSON"),
        pytest.param(b'["audio"]', "application/json", "the JSON body is a list", id="a list"),
        pytest.param(b'{"audio": "no audio!"}', "application/json", "no base64", id="no base64"),
        pytest.param(b'{"audio": "http://x/a.wav"}', "application/json", "URLs are not opened", id="URL"),
        pytest.param(b"RIFF", "audio/wav", "no multipart form", id="raw audio"),
        pytest.param(b"", "multipart/form-data; boundary=x", "body is empty", id="empty"),
        pytest.param(b"--x\r\nContent-Disp", "multipart/form-data; boundary=x", "breaks off", id="cut off"),
    ],
)
def test_bodies_that_cannot_be_read_are_400(url: str, body: bytes, content_type: str, message: str) -> None:
    answer = requests.post(url + PATH, data=body, headers={"Content-Type": content_type}, timeout=TIMEOUT_S)
    assert message in error_of(answer, 400)


def test_no_audio_is_415(url: str) -> None:
    assert "not audio" in error_of(post(url, b"no audio"), 415)


@pytest.mark.parametrize("n_bytes", [300_001, 3_000_000], ids=["as a file", "as a body"])
def test_too_large_a_file_is_413(url: str, n_bytes: int) -> None:
    assert error_of(post(url, bytes(n_bytes)), 413)


def test_too_large_base64_is_413(url: str) -> None:
    assert "300001 bytes of audio" in error_of(post_json(url, audio=b64encode(bytes(300_001)).decode()), 413)


def test_a_file_of_exactly_the_limit_is_taken(url: str) -> None:
    wav = make_wav((300_000 - 44) // 2)
    assert len(wav) == 300_000
    assert post(url, wav).status_code == 200
    assert post_json(url, audio=b64encode(wav).decode()).status_code == 200


def test_too_long_audio_is_413(serve: Serve, wav: bytes) -> None:
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
def test_failures_are_shown(serve: Serve, wav: bytes, failure: AsrError, status: int) -> None:
    assert error_of(post(serve(FakeTranscriber(failure=failure)), wav), status) == str(failure)


def test_what_the_model_cannot_follow_is_422(serve: Serve, wav: bytes) -> None:
    failure = InvalidParameter("task is 'translate', but the model is English-only", parameter="task")
    assert detail_of(post(serve(FakeTranscriber(failure=failure)), wav))["loc"] == ["body", "task"]


def test_a_bug_is_500(serve: Serve, wav: bytes) -> None:
    answer = post(serve(FakeTranscriber(failure=ZeroDivisionError())), wav)
    assert error_of(answer, 500).startswith("the server failed")


def test_too_many_requests_are_429_with_the_time_to_try_again(serve: Serve, wav: bytes) -> None:
    answer = post(serve(FakeTranscriber(), max_concurrent_requests=0), wav)
    assert "allowed: 0 at a time" in error_of(answer, 429)
    assert int(answer.headers["retry-after"]) > 0


def test_a_client_that_leaves_ends_the_work(url: str, wav: bytes, transcriber: FakeTranscriber) -> None:
    transcriber.hold()
    prepared = requests.Request("POST", url + PATH, files={"audio": wav}).prepare()
    assert isinstance(prepared.body, bytes)
    head = "".join(f"{name}: {value}\r\n" for name, value in prepared.headers.items())
    request = f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode() + prepared.body
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), TIMEOUT_S) as connection:
        connection.sendall(request)
        wait_for(lambda: transcriber.n_running == 1)
    wait_for(lambda: transcriber.n_cancelled == 1)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", PATH, 405), ("POST", "/v1/inferences", 404)])
def test_other_methods_and_paths(url: str, method: str, path: str, status: int) -> None:
    assert path in error_of(requests.request(method, url + path, timeout=TIMEOUT_S), status)
