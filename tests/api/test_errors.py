from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
import pytest
import requests

from hf_asr_endpoint import errors
from hf_asr_endpoint.api.deepinfra.errors import ERROR_FORMAT as DEEPINFRA
from hf_asr_endpoint.api.errors import (
    MAX_HEADER_CHARACTERS,
    MAX_MESSAGE_BYTES,
    MESSAGE_FORMAT,
    ErrorFormat,
    ErrorRenderer,
    error_response,
)
from hf_asr_endpoint.api.openai.errors import make_error_format
from hf_asr_endpoint.errors import AsrError, BodyTooLarge, InvalidRequest, MethodNotAllowed, Overloaded
from tests.api.conftest import make_path_table

OPENAI = make_error_format(max_audio_bytes=200)
STATUSES = {
    "AsrError": 500,
    "InvalidRequest": 400,
    "InvalidParameter": 422,
    "UnknownParameter": 422,
    "MissingParameter": 422,
    "UnsupportedParameter": 422,
    "UnsupportedValue": 422,
    "UnknownModel": 404,
    "UnknownJob": 404,
    "UnknownPath": 404,
    "MethodNotAllowed": 405,
    "BodyTooLarge": 413,
    "UnsupportedEncoding": 415,
    "UploadTimeout": 408,
    "Unauthorized": 401,
    "InvalidAudio": 400,
    "UnsupportedAudio": 415,
    "AudioTooLong": 413,
    "Overloaded": 429,
    "WorkTimeout": 504,
    "StorageFailed": 507,
    "AudioLost": 507,
    "JobsUnavailable": 503,
    "EngineError": 500,
    "EngineUnavailable": 503,
    "DeviceLost": 503,
    "EngineLost": 503,
    "ModelNotLoaded": 503,
    "InternalError": 500,
    "ModelUnavailable": 500,
    "InvalidSettings": 500,
}
OPENAI_STATUSES = dict.fromkeys(("UnsupportedAudio", *(name for name in STATUSES if STATUSES[name] == 422)), 400)
TIMEOUT_S = 10.0


def make_error(name: str) -> AsrError:
    kind: type[AsrError] = getattr(errors, name)
    if kind is Overloaded:
        return Overloaded("full", retry_after_s=3)
    if kind is MethodNotAllowed:
        return MethodNotAllowed("wrong", allowed="GET, HEAD")
    return BodyTooLarge("large", n_bytes=9) if kind is BodyTooLarge else kind("wrong")


def render(
    exc: BaseException, *, error_format: ErrorFormat = MESSAGE_FORMAT
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return status, body and headers of the response for an exception."""
    response = error_response(exc, error_format)
    return response.status_code, json.loads(bytes(response.body)), dict(response.headers)


def test_every_error_of_the_tree_is_listed() -> None:
    tree = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, AsrError)
    }
    assert tree == set(STATUSES)


@pytest.mark.parametrize("error_format", [MESSAGE_FORMAT, DEEPINFRA], ids=["Hugging Face", "DeepInfra"])
@pytest.mark.parametrize(("name", "status"), STATUSES.items())
def test_each_error_has_its_status(name: str, status: int, error_format: ErrorFormat) -> None:
    assert render(make_error(name), error_format=error_format)[0] == status


@pytest.mark.parametrize(("name", "status"), {**STATUSES, **OPENAI_STATUSES}.items())
def test_openai_has_its_own_status_for_some(name: str, status: int) -> None:
    assert render(make_error(name), error_format=OPENAI)[0] == status


@pytest.mark.parametrize(
    ("name", "header", "value"),
    [
        ("Overloaded", "retry-after", "3"),
        ("Overloaded", "ratelimit", '"requests";r=0;t=3'),
        ("MethodNotAllowed", "allow", "GET, HEAD"),
        ("UnsupportedEncoding", "accept-encoding", "gzip, deflate, identity"),
        ("InternalError", "x-should-retry", "false"),
    ],
)
@pytest.mark.parametrize(
    "error_format", [MESSAGE_FORMAT, OPENAI, DEEPINFRA], ids=["Hugging Face", "OpenAI", "DeepInfra"]
)
def test_some_errors_have_a_header_in_every_dialect(
    name: str, header: str, value: str, error_format: ErrorFormat
) -> None:
    assert render(make_error(name), error_format=error_format)[2][header] == value


@pytest.mark.parametrize(
    ("exc", "status", "message"),
    [
        (asyncio.CancelledError(), 503, "the server is shutting down"),
        (ZeroDivisionError("secret"), 500, "the server failed; its log has the details under the request id"),
    ],
    ids=["shutdown", "bug"],
)
def test_foreign_exceptions_become_errors_of_the_tree(exc: BaseException, status: int, message: str) -> None:
    assert render(exc)[:2] == (status, {"error": message})


def test_the_message_is_in_body_and_header() -> None:
    _, body, headers = render(InvalidRequest("wrong:\n'é' \N{CJK UNIFIED IDEOGRAPH-4E2D}"))
    assert body == {"error": "wrong:\n'é' \N{CJK UNIFIED IDEOGRAPH-4E2D}"}
    assert headers["x-error-message"] == "wrong: '\\xe9' \\u4e2d"


def test_characters_that_body_or_header_cannot_hold_are_escaped() -> None:
    _, body, headers = render(InvalidRequest("half a pair \ud800, nul \0, delete \x7f"))
    assert body["error"] == "half a pair \\ud800, nul \0, delete \x7f"
    assert headers["x-error-message"] == "half a pair \\ud800, nul ?, delete ?"


@pytest.mark.parametrize("character", ["x", "é", "\ud800", "\N{GRINNING FACE}", "\0", " "], ids=ascii)
@pytest.mark.parametrize(
    "error_format", [MESSAGE_FORMAT, OPENAI, DEEPINFRA], ids=["Hugging Face", "OpenAI", "DeepInfra"]
)
def test_a_message_of_any_length_can_be_sent(character: str, error_format: ErrorFormat) -> None:
    _, body, headers = render(InvalidRequest(character * 100_000), error_format=error_format)
    error = body["error"]
    assert len((error if isinstance(error, str) else error["message"]).encode()) <= MAX_MESSAGE_BYTES
    h11.Response(status_code=400, headers=list(headers.items()))  # Raises for a value that cannot be sent.


@pytest.mark.parametrize("n_before", range(MAX_HEADER_CHARACTERS - 2, MAX_HEADER_CHARACTERS + 1))
def test_a_header_that_is_cut_at_a_blank_can_be_sent(n_before: int) -> None:
    """A header must not end in a blank: the connection was closed without a response."""
    headers = render(InvalidRequest(f"{'x' * n_before}   y"))[2]
    assert len(headers["x-error-message"]) <= MAX_HEADER_CHARACTERS
    h11.Response(status_code=400, headers=list(headers.items()))


def test_a_long_refusal_arrives(url: str) -> None:
    key = "a " * 400
    answer = requests.post(url, json={"inputs": "AAAA", "parameters": {key: 1}}, timeout=TIMEOUT_S)
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nothing/" + "x" * 50_000, 404), ("/models/" + "x" * 50_000, 404), ("/v1/models/" + "x" * 50_000, 404)],
    ids=["path", "model", "OpenAI's model"],
)
def test_long_paths_and_names_are_shortened_in_messages(url: str, path: str, status: int) -> None:
    answer = requests.post(url + path, data=b"x", timeout=TIMEOUT_S)
    answer = requests.get(url + path, timeout=TIMEOUT_S) if answer.status_code == 405 else answer
    assert answer.status_code == status
    assert len(answer.content) < 500


@pytest.mark.parametrize(
    ("method", "path", "error_format"),
    [
        ("POST", "/v1/audio/transcriptions", OPENAI),
        ("POST", "/v1/audio/speech", OPENAI),
        ("POST", "/v1/inference/x", DEEPINFRA),
        ("GET", "/models/x", OPENAI),
        ("POST", "/models/x", MESSAGE_FORMAT),
        ("POST", "/v1", MESSAGE_FORMAT),
        ("POST", "/v1/jobs", MESSAGE_FORMAT),
        ("POST", "/", MESSAGE_FORMAT),
    ],
)
def test_method_and_path_decide_the_format(method: str, path: str, error_format: ErrorFormat) -> None:
    paths = make_path_table()
    formats = {
        **{dialect.name: MESSAGE_FORMAT for dialect in paths.dialects},
        "OpenAI": OPENAI,
        "DeepInfra": DEEPINFRA,
    }
    error = errors.InvalidParameter("wrong", parameter="x")
    response = ErrorRenderer(paths, formats)(error, {"type": "http", "method": method, "path": path})
    assert json.loads(bytes(response.body)) == error_format.body_of(error)
