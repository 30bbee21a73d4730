from __future__ import annotations

import json
import logging
import re

import pytest
import requests

from hf_asr_endpoint.logs import JsonFormatter
from tests.api.conftest import Serve, wait_for
from tests.fakes import FakeTranscriber

TIMEOUT_S = 10.0


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        pytest.param("/", b"not audio", 415, id="error"),
        pytest.param("/nowhere", b"x", 404, id="no route"),
        pytest.param("/models/other", b"x", 404, id="no model"),
    ],
)
def test_every_response_has_a_request_id(url: str, path: str, body: bytes, status: int) -> None:
    answer = requests.post(url + path, data=body, timeout=TIMEOUT_S)
    assert answer.status_code == status
    assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize("header", ["x-request-id", "X-Amzn-Trace-Id"])
def test_the_callers_id_is_kept(url: str, wav: bytes, header: str) -> None:
    answer = requests.post(url, data=wav, headers={header: "job-7.a:b_c"}, timeout=TIMEOUT_S)
    assert answer.headers["x-request-id"] == "job-7.a:b_c"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "é"], ids=["empty", "space", "long", "not ascii"])
def test_an_id_with_other_characters_is_replaced(url: str, wav: bytes, given: str) -> None:
    answer = requests.post(url, data=wav, headers={"x-request-id": given.encode("latin-1")}, timeout=TIMEOUT_S)
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] not in ("", given)


def log_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("hf_asr_endpoint")]


def test_each_request_is_logged_in_one_line(url: str, wav: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="hf_asr_endpoint"):
        requests.post(url, data=wav, headers={"x-request-id": "r1"}, timeout=TIMEOUT_S)
        requests.get(f"{url}/health", timeout=TIMEOUT_S)
        wait_for(lambda: log_lines(caplog) != [])  # The line is written after the response.
    (line,) = log_lines(caplog)
    assert line.startswith("POST / status=200 id=r1 key=- audio_s=1.0 total_s=")


def test_a_line_of_json_has_a_field_for_all_that_is_known_of_a_request(
    url: str, wav: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="hf_asr_endpoint"):
        files = {"file": ("a.wav", wav)}
        requests.post(
            f"{url}/v1/audio/transcriptions/", files=files, data={"model": "whisper-1"}, timeout=TIMEOUT_S
        )
        wait_for(lambda: log_lines(caplog) != [])
    (record,) = (record for record in caplog.records if record.name.startswith("hf_asr_endpoint"))
    document = json.loads(JsonFormatter().format(record))
    assert re.fullmatch("[0-9a-f]{32}", document.pop("id"))
    assert 0 < document.pop("total_s") < TIMEOUT_S
    assert {name: document[name] for name in ("method", "path", "api", "status", "key", "audio_s")} == {
        "method": "POST",
        "path": "/v1/audio/transcriptions",
        "api": "OpenAI",
        "status": "200",
        "key": None,
        "audio_s": 1.0,
    }


def test_line_breaks_in_a_path_are_escaped_in_the_log(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="hf_asr_endpoint"):
        requests.post(f"{url}/models/%0D%0AINFO%00", data=b"x", timeout=TIMEOUT_S)
        wait_for(lambda: log_lines(caplog) != [])  # The line is written after the response.
    (line,) = log_lines(caplog)
    assert line.startswith("POST /models/%0D%0AINFO%00 status=404")


def test_a_long_path_is_shortened_in_the_log(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A path of 60 KB was logged whole, so that a client could fill the log."""
    with caplog.at_level(logging.INFO, logger="hf_asr_endpoint"):
        requests.get(f"{url}/{'é' * 10_000}", timeout=TIMEOUT_S)
        wait_for(lambda: log_lines(caplog) != [])
    (line,) = log_lines(caplog)
    assert "status=404" in line
    assert len(line) < 400


def test_a_bug_is_500_with_an_id_and_its_traceback_is_logged(
    serve: Serve, wav: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    url = serve(FakeTranscriber(failure=ZeroDivisionError("a bug")))
    answer = requests.post(url, data=wav, headers={"x-request-id": "r2"}, timeout=TIMEOUT_S)
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == "r2"
    assert answer.headers["x-should-retry"] == "false"
    assert "a bug" not in answer.text
    assert any(record.exc_info and record.exc_info[0] is ZeroDivisionError for record in caplog.records)
