"""Requests that no route serves: their error form, and the path that the message names instead."""

from __future__ import annotations

import socket
from typing import Literal
from urllib.parse import urlsplit

import pytest
import requests

from hf_asr_endpoint.api.paths import DialectPaths
from hf_asr_endpoint.api.unroutable import MAX_COMPARED_CHARACTERS, UnknownPaths
from tests.api.conftest import make_path_table
from tests.api.openai.test_routes import error_of as openai_error_of
from tests.api.test_paths import request

TIMEOUT_S = 10.0
PATHS = make_path_table()
Form = Literal["OpenAI", "error", "detail"]


def message_of(answer: requests.Response, status: int, form: Form) -> str:
    """Return the message of an error, after checks of its form: OpenAI's object, or a text under a name."""
    message: str
    if form == "OpenAI":
        error = openai_error_of(answer, status)
        assert error["code"] == {404: "unknown_url", 405: "method_not_supported"}[status]
        message = error["message"]
    else:
        assert answer.status_code == status
        assert answer.headers["x-error-message"]
        message = answer.json()[form]
    return message


@pytest.mark.parametrize(
    ("method", "path", "form", "advice"),
    [
        pytest.param("POST", "/v1/audio/speech", "OpenAI", "allowed: POST /v1/audio/transc", id="speech"),
        pytest.param("POST", "/v1/chat/completions", "OpenAI", "POST /v1/audio/transcriptions", id="chat"),
        pytest.param("POST", "/v1/responses", "OpenAI", "POST /v1/audio/transcriptions", id="responses"),
        pytest.param("GET", "/v1/openai/nothing", "OpenAI", "GET /v1/openai/models", id="DeepInfra's OpenAI"),
        pytest.param("POST", "/openai/v1/embeddings", "OpenAI", "POST /openai/v1/audio/trans", id="Groq's"),
        pytest.param("POST", "/audio/speech", "OpenAI", "POST /audio/transcriptions", id="without v1"),
        pytest.param(
            "POST",
            "/openai/deployments/x/chat/completions?api-version=1",
            "OpenAI",
            "POST /openai/deployments/{model}/audio/transcriptions",
            id="Azure",
        ),
        pytest.param(
            "POST",
            "/v1/v1/audio/transcriptions",
            "OpenAI",
            "did you mean POST /v1/audio/transcriptions?",
            id="v1 twice",
        ),
        pytest.param(
            "POST",
            "/v1/audio/transcriptions/audio/transcriptions",
            "OpenAI",
            "did you mean POST /v1/audio/transcriptions?",
            id="endpoint as base",
        ),
        pytest.param("POST", "/v1/audio/transcription", "OpenAI", "did you mean POST /v1/audio/tr", id="singular"),
        pytest.param("POST", "/v1/transcriptions", "OpenAI", "mean POST /v1/audio/transcriptions?", id="no audio"),
        pytest.param("POST", "/v1/audio/transcriptions%20", "OpenAI", "mean POST /v1/audio/tr", id="blank at end"),
        pytest.param("GET", "/v1/model", "OpenAI", "did you mean GET /v1/models?", id="model"),
        pytest.param("GET", "/v1/modelsX", "OpenAI", "did you mean GET /v1/models?", id="below v1"),
        pytest.param("POST", "/v1/inferences", "OpenAI", "mean POST /v1/inference/", id="beside DeepInfra's"),
        pytest.param("GET", "/v1/requests/a/b", "error", "mean GET /v1/requests/{id}?", id="job"),
        pytest.param("POST", "/v1/jobs/x", "error", "did you mean POST /v1/jobs?", id="jobs"),
        pytest.param("POST", "/asr/x", "detail", "did you mean POST /asr?", id="subtitle tool"),
        pytest.param("POST", "/v1/asr", "OpenAI", "did you mean POST /asr?", id="subtitle tool below v1"),
        pytest.param("POST", "/inference/x", "error", "did you mean POST /inference?", id="whisper.cpp"),
        pytest.param("GET", "/healthz", "error", "did you mean GET /health?", id="health"),
        pytest.param("GET", "/v1/health", "OpenAI", "did you mean GET /health?", id="health below v1"),
        pytest.param("POST", "/api/v1/audio/transcriptions", "OpenAI", "mean POST /v1/audio/tr", id="gateway"),
        pytest.param("POST", "/v2/audio/translations", "OpenAI", "mean POST /audio/translations?", id="v2, audio"),
        pytest.param("POST", "/chat/completions", "OpenAI", "POST /v1/audio/transcriptions", id="chat, root"),
        pytest.param("POST", "/api/v1/responses", "OpenAI", "POST /v1/audio/transcriptions (OpenAI)", id="api"),
        pytest.param("GET", "/api/v1/models", "OpenAI", "did you mean GET /v1/models?", id="gateway, models"),
        pytest.param("POST", "/v1/x/audio/translations", "OpenAI", "mean POST /v1/audio/translations?", id="own"),
        pytest.param("POST", "/v1/openai/v1/audio/translations", "OpenAI", "/v1/openai/audio/tr", id="own of two"),
        pytest.param("POST", "/api/models/a/b", "error", "did you mean POST /models/{model}?", id="gateway, post"),
        pytest.param("GET", "/api/models/a/b", "error", "did you mean GET /models/{model}?", id="gateway, get"),
        pytest.param("POST", "/hf-inference/models", "error", "POST /hf-inference/models/{model}?", id="no model"),
        pytest.param("POST", "/V1/AUDIO/Transcriptions", "error", "mean POST /v1/audio/tr", id="capitals"),
        pytest.param("POST", "/nothing", "error", "allowed: POST / (Hugging Face), POST /v1/audio/tr", id="any"),
        pytest.param("GET", "/v2/x", "error", "POST /v1/inference/{model} (DeepInfra)", id="v2"),
        pytest.param("HEAD", "/nothing", "error", "", id="HEAD"),
        pytest.param("OPTIONS", "/nothing", "error", "allowed: POST / (Hugging Face)", id="OPTIONS"),
    ],
)
def test_an_unknown_path_is_404_and_names_the_right_one(
    url: str, method: str, path: str, form: Form, advice: str
) -> None:
    answer = request(method, url, path)
    if method == "HEAD":
        assert (answer.status_code, answer.content) == (404, b"")
    else:
        message = message_of(answer, 404, form)
        assert message.startswith("the path '/")
        assert advice in message


@pytest.mark.parametrize(
    ("method", "path", "form", "allowed"),
    [
        ("GET", "/v1/audio/transcriptions", "OpenAI", "POST"),
        ("GET", "/v1/audio/transcriptions/", "OpenAI", "POST"),
        ("GET", "/openai/deployments/whisper-1/audio/transcriptions?api-version=1", "OpenAI", "POST"),
        ("PUT", "/audio/translations", "OpenAI", "POST"),
        ("POST", "/v1/models", "OpenAI", "GET, HEAD"),
        ("DELETE", "/models/whisper-1", "OpenAI", "POST, GET, HEAD"),
        ("GET", "/v1", "OpenAI", "POST"),
        ("GET", "/", "error", "POST"),
        ("GET", "/predict", "error", "POST"),
        ("GET", "/v1/inference/openai/whisper-base", "error", "POST"),
        ("GET", "/v1/jobs", "error", "POST"),
        ("PATCH", "/v1/requests/x", "error", "GET, HEAD, DELETE"),
        ("POST", "/health", "error", "GET, HEAD"),
        ("GET", "/asr", "detail", "POST"),
        ("GET", "/inference", "error", "POST"),
    ],
)
def test_a_wrong_method_is_405_and_names_the_right_ones(
    url: str, method: str, path: str, form: Form, allowed: str
) -> None:
    answer = request(method, url, path)
    shown = path.partition("?")[0].rstrip("/") or "/"
    assert message_of(answer, 405, form) == f"the method of '{shown}' is {method}; allowed: {allowed}"
    assert answer.headers["allow"] == f"{allowed}, OPTIONS"


@pytest.mark.parametrize(
    ("path", "form", "shown"),
    [
        pytest.param("/%FF%FE", "error", "'/\N{REPLACEMENT CHARACTER}", id="not UTF-8"),
        pytest.param("/%00", "error", "'/\\x00'", id="NUL"),
        pytest.param("/%0D%0AAllow:%20x", "error", "'/\\r\\nAllow: x'", id="line break"),
        pytest.param("/v1/%E2%98%83", "OpenAI", "'/v1/☃'", id="UTF-8"),
        pytest.param("/v1/audio/transcriptions%", "OpenAI", "transcriptions%'", id="half an escape"),
        pytest.param("/v1/audio/transcriptions%2", "OpenAI", "transcriptions%2'", id="most of an escape"),
        pytest.param("/v1/%ED%A0%80", "OpenAI", "'/v1/", id="half of a surrogate pair"),
        pytest.param("/v1/audio/../models", "OpenAI", "'/v1/audio/../models'", id="dots"),
        pytest.param("/v1/" + "x" * 50_000, "OpenAI", "…", id="long"),
        pytest.param("/nothing/" + "%C3%A9" * 10_000, "error", "...", id="long and escaped"),
        pytest.param("/openai/deployments" + "/audio/translations" * 2_000 + "x", "OpenAI", "...", id="same"),
        pytest.param("/v1/requests" + "/x" * 25_000, "error", "...", id="many segments"),
        pytest.param("/x" + "/" * 50_000 + "y", "error", "'/x/y'", id="many slashes"),
    ],
)
def test_odd_paths_have_clean_and_short_errors(url: str, path: str, form: Form, shown: str) -> None:
    answer = request("POST", url, path)
    message = message_of(answer, 404, form)
    assert shown.replace("…", "...") in message.replace("…", "...")
    assert len(answer.content) < 1_000
    assert requests.get(f"{url}/health", timeout=TIMEOUT_S).ok


@pytest.mark.parametrize(
    "line",
    [
        "GET /é HTTP/1.1".encode(),
        b"GET /\xff HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET http://other/v1/x HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"BREW /v1/models HTTP/1.1",
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1",
    ],
    ids=lambda line: ascii(line[:20]),
)
def test_odd_request_lines_are_refused_and_the_server_goes_on(url: str, line: bytes) -> None:
    host, port = urlsplit(url).hostname, urlsplit(url).port
    with socket.create_connection((host, port), timeout=TIMEOUT_S) as connection:
        connection.sendall(line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
        status = int(connection.makefile("rb").readline().split()[1])
    assert 400 <= status < 500
    assert requests.get(f"{url}/health", timeout=TIMEOUT_S).ok


def test_a_large_body_to_an_unknown_path_gets_its_answer(url: str) -> None:
    answer = request("POST", url, "/v1/audio/transcribe", data=bytes(5_000_000))
    assert "POST /v1/audio/transcriptions" in message_of(answer, 404, "OpenAI")


@pytest.mark.parametrize(
    "dialect", [dialect for dialect in PATHS.dialects if dialect.main_path], ids=lambda dialect: dialect.name
)
def test_what_a_404_lists_exists(dialect: DialectPaths) -> None:
    method, path = dialect.main_path.replace("{model}", "x").split()
    assert method in PATHS.methods_of(path)
    assert PATHS.dialect_of(method, path) == dialect


def test_only_short_paths_are_compared() -> None:
    padding = "x" * (MAX_COMPARED_CHARACTERS - len("//v1/models"))
    unknown = UnknownPaths(PATHS)
    assert "did you mean GET /v1/models?" in str(unknown.refuse("GET", f"/{padding}/v1/models"))
    assert "did you mean" not in str(unknown.refuse("GET", f"/{padding}x/v1/models"))
