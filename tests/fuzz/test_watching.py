"""The fuzzers see what they are there for: crashes, hangs, exceptions, growth, and answers that break a rule."""

from __future__ import annotations

import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.fuzz import audio_run, exchange
from tests.fuzz.audio_run import fuzz_audio
from tests.fuzz.exchange import CLOSED, BadAnswer
from tests.fuzz.findings import Report
from tests.fuzz.request_cases import RequestCase
from tests.fuzz.request_run import bugs_in

WORKER = """
import json, os, sys, time
begin, end = int(sys.argv[4]), int(sys.argv[6])
for index in range(begin, end):
    print(f"begin {index}", flush=True)
    if index == 1:
        os.abort()
    if index == 3:
        time.sleep(60)  # a hang, as the watcher sees it; it is ended long before
    if index == 5:
        print("failed 5 " + json.dumps("ValueError: no"), flush=True)
    else:
        print(f"end {index} decoded", flush=True)
print("rss 10\\nrss 90", flush=True)
"""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_a_worker_that_crashes_hangs_or_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each case that fails is saved, and the ones behind it still run."""
    monkeypatch.setattr(audio_run, "MAX_CASE_S", 1.0)
    report = fuzz_audio(
        seed=7,
        n_files=8,
        deadline_s=time.monotonic() + 60,
        folder=tmp_path,
        worker=(sys.executable, "-c", WORKER),
    )
    assert report.outcomes == {"decoded": 5, "crash": 1, "hang": 1, "exception": 1}
    assert [finding.case for finding in report.findings] == ["7:1", "7:3", "7:5", None]
    assert "status -6" in report.findings[0].what
    assert report.growth_mib == 80
    assert {path.name for path in tmp_path.glob("*.bin")} == {f"audio-7-{index}.bin" for index in (1, 3, 5)}


def answer_with(answer: bytes, *, data: bytes = b"GET / HTTP/1.1\r\n\r\n") -> str:
    """Return the outcome of an exchange with a server that sends an answer and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            case = RequestCase(data=data, ending="wait", n_pieces=1)
            return exchange.exchange(("127.0.0.1", listener.getsockname()[1]), case).outcome
        finally:
            thread.join()


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        pytest.param(OK, "200", id="an answer"),
        pytest.param(b"", CLOSED, id="no answer"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, "200", id="an interim answer before it"),
        pytest.param(OK.replace(b"200", b"404"), "404", id="an error with a message"),
    ],
)
def test_what_a_server_may_do(answer: bytes, outcome: str) -> None:
    assert answer_with(answer) == outcome


def test_the_answer_to_head_has_no_body() -> None:
    assert answer_with(OK[:-2], data=b"HEAD / HTTP/1.1\r\n\r\n") == "200"


JSON_ERROR = b'HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"error": ""'


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(OK.replace(b"200", b"500"), "status 500", id="500"),
        pytest.param(OK.replace(b"200", b"503"), "status 503", id="503"),
        pytest.param(OK[:-1], "not valid HTTP", id="half a body"),
        pytest.param(b"oops\r\n\r\n", "not valid HTTP", id="no HTTP"),
        pytest.param(JSON_ERROR, "not what its type says", id="broken JSON"),
        pytest.param(JSON_ERROR.replace(b"12", b"13") + b"}", "without a message", id="no message"),
        pytest.param(OK.replace(b"200", b"404").replace(b"ok", b"\xff\xff"), "not what its type", id="no text"),
    ],
)
def test_what_it_may_not_do(answer: bytes, reason: str) -> None:
    with pytest.raises(BadAnswer, match=reason):
        answer_with(answer)


def test_no_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MAX_CASE_S", 0.2)
    case = RequestCase(data=b"GET / HTTP/1.1\r\n\r\n", ending="wait", n_pieces=1)
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(BadAnswer, match="no whole answer"):
        exchange.exchange(("127.0.0.1", listener.getsockname()[1]), case)


def test_growth_of_memory_within_the_limit_is_no_finding(tmp_path: Path) -> None:
    report = Report("audio", tmp_path)
    report.note_growth([-3.0, 49.0])
    assert (report.growth_mib, report.findings) == (49.0, [])


def test_a_traceback_in_the_log_is_a_bug() -> None:
    bug = """Traceback (most recent call last):
  File "a.py", line 1, in <module>
    f()
h11._util.LocalProtocolError: can't handle event
"""
    log = f"2026-11-28 INFO POST / status=200\n{bug}2026-11-28 INFO GET / status=200\n{bug}"
    assert bugs_in(log) == {"h11._util.LocalProtocolError: can't handle event": bug.rstrip("\n")}
    assert bugs_in("2026-11-28 WARNING skipped 3 damaged packets: ValueError\n") == {}
