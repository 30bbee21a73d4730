from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import requests

from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.errors import EngineError, EngineUnavailable, InvalidParameter
from tests.api.conftest import Serve, make_wav
from tests.fakes import FakeTranscriber

TIMEOUT_S = 10.0
TEXT = {"text": "16000 samples"}


def document(wav: bytes, **parameters: Any) -> dict[str, Any]:
    inputs = base64.b64encode(wav).decode()
    return {"inputs": inputs, "parameters": parameters} if parameters else {"inputs": inputs}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/predict",
        "/models/openai/whisper-base",
        "/models/whisper-base",
        "/hf-inference/models/openai/whisper-base",
        "/pipeline/automatic-speech-recognition/openai/whisper-base",
        "/models/openai/whisper-base/pipeline/automatic-speech-recognition",
    ],
)
def test_each_path_accepts_raw_audio_and_json(url: str, wav: bytes, path: str) -> None:
    assert requests.post(url + path, data=wav, timeout=TIMEOUT_S).json() == TEXT
    assert requests.post(url + path, json=document(wav), timeout=TIMEOUT_S).json() == TEXT


@pytest.mark.parametrize(
    "path",
    [
        "/models/openai/whisper-large-v3",
        "/hf-inference/models/x",
        "/pipeline/automatic-speech-recognition/x/y",
        "/models/x/pipeline/automatic-speech-recognition",
    ],
)
def test_another_model_is_404_with_the_accepted_names(url: str, wav: bytes, path: str) -> None:
    answer = requests.post(url + path, data=wav, timeout=TIMEOUT_S)
    assert answer.status_code == 404
    assert "allowed: openai/whisper-base, whisper-base" in answer.json()["error"]


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "audio/x-wav",
        "audio/flac",
        "application/json",
        "text/html",
        "video/webm",
        "no type at all",
        "audio/",
    ],
)
def test_the_content_type_is_ignored(url: str, wav: bytes, content_type: str | None) -> None:
    """Browsers and SDKs send any type or none; the snippet on huggingface.co posts JSON as audio/flac."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert requests.post(url, data=wav, headers=headers, timeout=TIMEOUT_S).json() == TEXT
    body = json.dumps(document(wav))
    assert requests.post(url, data=body, headers=headers, timeout=TIMEOUT_S).json() == TEXT


@pytest.mark.parametrize(
    "prefix", [b"", b"\n\t ", b"\xef\xbb\xbf"], ids=["none", "white space", "byte order mark"]
)
def test_json_is_detected_by_its_first_character(url: str, wav: bytes, prefix: bytes) -> None:
    body = prefix + json.dumps(document(wav)).encode()
    assert requests.post(url, data=body, timeout=TIMEOUT_S).json() == TEXT


def test_headerless_samples_require_a_content_type(url: str) -> None:
    samples = bytes(range(1, 201)) * 80
    assert requests.post(url, data=samples, timeout=TIMEOUT_S).status_code == 415
    typed = requests.post(url, data=samples, headers={"Content-Type": "audio/L16; rate=8000"}, timeout=TIMEOUT_S)
    assert typed.json() == {"text": "16000 samples"}


@pytest.mark.parametrize("first", [b"{\0", b"[\0", b" {"])
def test_headerless_samples_may_begin_with_a_brace(url: str, first: bytes) -> None:
    headers = {"Content-Type": "audio/L16; rate=16000"}
    body = first + bytes(31_998)
    assert requests.post(url, data=body, headers=headers, timeout=TIMEOUT_S).json() == TEXT


def test_samples_as_numbers_are_transcribed(url: str) -> None:
    inputs = {"array": [0.0] * 8_000, "sampling_rate": 8_000}
    assert requests.post(url, json={"inputs": inputs}, timeout=TIMEOUT_S).json() == TEXT


def test_parameters_reach_the_transcriber(url: str, wav: bytes, transcriber: FakeTranscriber) -> None:
    body = document(
        wav, return_timestamps=True, language="german", generation_parameters={"num_beams": 4, "max_new_tokens": 9}
    )
    answer = requests.post(url, json=body, timeout=TIMEOUT_S).json()
    assert answer["chunks"] == [{"text": " 16000 samples", "timestamp": [0.0, 1.0]}]
    (options,) = transcriber.options
    assert options.language == "de"
    assert options.decoding == DecodingOptions.from_flat(num_beams=4, max_new_tokens=9)


def test_the_query_string_has_the_parameters_of_raw_audio(
    url: str, wav: bytes, transcriber: FakeTranscriber
) -> None:
    query = {"return_timestamps": "true", "task": "translate", "temperature": "0.5"}
    assert "chunks" in requests.post(url, params=query, data=wav, timeout=TIMEOUT_S).json()
    (options,) = transcriber.options
    assert (options.task, options.decoding.temperatures) == ("translate", (0.5,))


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        pytest.param(b"{", 400, "begins like JSON", id="broken JSON"),
        pytest.param(b'{"inputs": "\xff"}', 400, "not valid base64", id="not UTF-8 in the audio"),
        pytest.param(b'{"inputs": "AAAA", "parameters": "\xff"}', 400, "begins like JSON", id="not UTF-8"),
        pytest.param(b"{}", 400, 'no "inputs"', id="no inputs"),
        pytest.param(b'{"inputs": ' + b"[" * 100_000, 400, "nested more than 20 deep", id="nested too deep"),
        pytest.param(b'{"inputs": "AAAA", "\\ud800\\u0000": 1}', 422, "unknown key", id="half a surrogate pair"),
        pytest.param(
            b'{"inputs": {"array": [1' + b"0" * 400 + b'], "sampling_rate": 8000}}', 422, "array", id="huge"
        ),
        pytest.param(b'{"inputs": "AAAA", "inputs": "BBBB"}', 422, "inputs is given twice", id="a key twice"),
        pytest.param(b'{"input": "AAAA"}', 400, "['input']", id="misspelt"),
        pytest.param(b'{"inputs": "AAAA", "option": {}}', 422, "'option'", id="unknown key"),
        pytest.param(b'{"inputs": "AAAA", "options": {"a": 1}}', 422, "options has the key 'a'", id="an option"),
        pytest.param(
            b'{"inputs": "AAAA", "options": true}', 422, "options is True; allowed: an ob", id="no options"
        ),
        pytest.param(
            b'{"inputs": "AAAA", "options": {"use_cache": 5}}', 422, "options.use_cache is 5, but", id="no switch"
        ),
        pytest.param(b'{"inputs": "AAAA", "parameters": []}', 422, "parameters is []", id="parameters a list"),
        pytest.param(b'{"inputs": "https://x.org/a.mp3"}', 400, "URLs are not opened", id="URL"),
        pytest.param(b'{"inputs": "AAAA"}', 415, "not audio of a known format", id="base64 of no audio"),
        pytest.param(b"RIFF\x04\0\0\0WAVE", 400, "wav file cannot be decoded", id="broken audio"),
        pytest.param(b"hello", 415, "not audio of a known format", id="text"),
        pytest.param(make_wav(31 * 16_000)[:1_000_000], 413, "bytes", id="too many bytes"),
    ],
)
def test_bad_requests_are_refused(url: str, body: bytes, status: int, message: str) -> None:
    answer = requests.post(url, data=body, timeout=TIMEOUT_S)
    assert answer.status_code == status
    assert message in answer.json()["error"]
    assert answer.headers["x-error-message"]
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("body", [b"[1]", b'"AAAA"'], ids=["list", "text"])
def test_json_other_than_an_object_is_400(url: str, body: bytes) -> None:
    answer = requests.post(url, data=body, headers={"Content-Type": "application/json"}, timeout=TIMEOUT_S)
    assert answer.status_code == 400
    assert 'no "inputs"' in answer.json()["error"]


def test_a_form_is_415(url: str, jfk: bytes) -> None:
    """FFmpeg would find an mp3 inside a form, but not a wav: a clear refusal is better than luck."""
    answer = requests.post(url, files={"file": jfk}, timeout=TIMEOUT_S)
    assert answer.status_code == 415
    assert "multipart form" in answer.json()["error"]


def test_audio_above_the_time_limit_is_413(serve: Serve, wav: bytes) -> None:
    answer = requests.post(serve(FakeTranscriber(), max_audio_s=0.5), data=wav, timeout=TIMEOUT_S)
    assert answer.status_code == 413
    assert "allowed: at most 0.5 s" in answer.json()["error"]


def test_parameters_in_both_body_and_query_are_refused(url: str, wav: bytes) -> None:
    answer = requests.post(f"{url}/?task=translate", json=document(wav, return_timestamps=True), timeout=TIMEOUT_S)
    assert answer.status_code == 422
    assert "'task'" in answer.json()["error"]


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (InvalidParameter("task is 'translate'; allowed: 'transcribe'"), 422),
        (EngineError("the model failed: OutOfMemoryError"), 500),
        (EngineUnavailable("the server is shutting down"), 503),
    ],
)
def test_failures_of_the_transcriber_have_their_status(
    serve: Serve, wav: bytes, failure: Exception, status: int
) -> None:
    answer = requests.post(serve(FakeTranscriber(failure=failure)), data=wav, timeout=TIMEOUT_S)
    assert (answer.status_code, answer.json()) == (status, {"error": str(failure)})
