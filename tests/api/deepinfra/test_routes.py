"""DeepInfra's paths: names of the model, fields, responses."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from typing import Any

import pytest
import requests

from hf_asr_endpoint.api.app import create_app
from hf_asr_endpoint.api.served_model import ServedModel, ServedModels
from tests.api.conftest import MODEL_NAMES, Serve, make_services, make_wav, serve_app
from tests.api.deepinfra.asking import MISSING, PATH, TEXT, TIMEOUT_S, detail_of, error_of, post, post_json
from tests.fakes import FakeTranscriber


@pytest.mark.parametrize("name", ["openai/whisper-base", "whisper-base", "whisper-1", "openai%2Fwhisper-base"])
@pytest.mark.parametrize("prefix", ["/v1/inference/", "/v1/inference/deploy/"])
def test_each_path_and_name(url: str, wav: bytes, prefix: str, name: str) -> None:
    answer = post(url, wav, prefix + name, task="transcribe")
    assert answer.status_code == 200
    assert answer.json()["text"] == TEXT


def test_the_fields_of_a_response(url: str, wav: bytes, transcriber: FakeTranscriber) -> None:
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
def test_authentication_headers_are_ignored(url: str, wav: bytes, headers: dict[str, str]) -> None:
    answer = requests.post(url + PATH, files={"audio": wav}, headers=headers, timeout=TIMEOUT_S)
    assert answer.status_code == 200


@pytest.mark.parametrize("size", [16_000, 145_000], ids=["in memory", "near the limit"])
def test_audio_without_filename(url: str, size: int) -> None:
    """deepinfra-node sends buffers like this."""
    files = {"audio": (None, make_wav(size)), "task": (None, '"transcribe"')}
    assert requests.post(url + PATH, files=files, timeout=TIMEOUT_S).json()["text"] == f"{size} samples"


def test_a_large_file_without_filename(serve: Serve, transcriber: FakeTranscriber) -> None:
    url = serve(transcriber, max_audio_bytes=5_000_000, max_audio_s=600.0)
    files = {"audio": (None, make_wav(2_000_000))}
    assert requests.post(url + PATH, files=files, timeout=TIMEOUT_S).json()["text"] == "2000000 samples"


@pytest.mark.parametrize("prefix", ["", "data:audio/wav;base64,", "data:;base64,"])
def test_audio_as_base64(url: str, wav: bytes, prefix: str) -> None:
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
    assert (options.condition_on_previous_text, options.word_timestamps, options.chunk_length_s) == (
        False,
        True,
        10,
    )


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


@pytest.mark.parametrize("path", ["", "/deploy"])
def test_a_path_without_a_model_is_404(url: str, wav: bytes, path: str) -> None:
    answer = post(url, wav, f"/v1/inference{path}")
    assert "allowed: openai/whisper-base, whisper-base, whisper-1" in error_of(answer, 404)


def test_another_version_is_404(wav: bytes) -> None:
    models = ServedModels([ServedModel(names=MODEL_NAMES, revision="abc")])
    with serve_app(create_app(make_services(FakeTranscriber(), models=models))) as url:
        assert post(url, wav, f"{PATH}?version=abc").status_code == 200
        assert post(url, wav, f"{PATH}?version=").status_code == 200
        assert "the version 'abd' is not served here; allowed: 'abc'" in error_of(
            post(url, wav, f"{PATH}?version=abd"), 404
        )


def test_a_version_twice_is_422(url: str, wav: bytes) -> None:
    assert "given 2 times" in detail_of(post(url, wav, f"{PATH}?version=&version=abc"))["msg"]


def test_any_version_is_404_without_a_revision(url: str, wav: bytes) -> None:
    assert "allowed: no version" in error_of(post(url, wav, f"{PATH}?version=abc"), 404)


def test_the_cost_is_the_price_of_the_audio(wav: bytes) -> None:
    with serve_app(create_app(make_services(FakeTranscriber(), price_per_s=0.25))) as url:
        assert post(url, wav).json()["inference_status"]["cost"] == 0.25
