"""Bodies as they arrive over a socket: too large, too slow, cut off, or refused unread."""

from __future__ import annotations

import base64
import contextlib
import gc
import json
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from hf_asr_endpoint.api.json_body import JsonParser
from tests.api.conftest import DEADLINE_S, Serve, make_wav, wait_for
from tests.fakes import FakeTranscriber


@pytest.fixture
def connection(url: str) -> Iterator[socket.socket]:
    """A plain connection to the server."""
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), DEADLINE_S) as opened:
        yield opened


def read_answer(connection: socket.socket) -> bytes:
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = connection.recv(65_536)
        assert part, f"the server closed after {answer!r}"
        answer += part
    return answer


def test_a_body_over_the_limit_is_refused_and_the_client_sees_why(url: str) -> None:
    answer = requests.post(url, data=bytes(30_000_000), timeout=DEADLINE_S)
    assert answer.status_code == 413
    assert "30000000 bytes" in answer.json()["error"]
    assert "300000 bytes" in answer.json()["error"]


def test_a_body_without_declared_length_is_stopped_while_it_is_read(url: str) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield bytes(100_000)

    answer = requests.post(url, data=endless(), timeout=DEADLINE_S)
    assert answer.status_code == 413
    assert "allowed: 300000 bytes" in answer.json()["error"]


def test_json_may_be_longer_by_the_cost_of_base64(url: str) -> None:
    wav = make_wav(148_000)
    assert 296_000 < len(wav) < 300_000
    document = {"inputs": base64.b64encode(wav).decode()}
    assert requests.post(url, json=document, timeout=DEADLINE_S).json() == {"text": "148000 samples"}


def test_json_over_the_limit_is_refused(url: str) -> None:
    document = json.dumps({"inputs": "A" * (400_000 + 64 * 2**10)})
    assert requests.post(url, data=document, timeout=DEADLINE_S).status_code == 413


def test_base64_that_decodes_to_too_much_is_refused(url: str) -> None:
    answer = requests.post(url, json={"inputs": base64.b64encode(bytes(300_001)).decode()}, timeout=DEADLINE_S)
    assert answer.status_code == 413
    assert "300001 bytes of audio" in answer.json()["error"]


def test_a_large_body_is_read_back_from_disk_whole(serve: Serve, transcriber: FakeTranscriber) -> None:
    url = serve(transcriber, max_audio_bytes=5_000_000, max_audio_s=600.0)
    answer = requests.post(url, data=make_wav(2_000_000), timeout=DEADLINE_S)
    assert answer.json() == {"text": "2000000 samples"}


def test_an_empty_body_is_refused(url: str) -> None:
    answer = requests.post(url, timeout=DEADLINE_S)
    assert answer.status_code == 400
    assert "empty" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/", "/v1/audio/transcriptions", "/v1/realtime/client_secrets"])
def test_a_stalled_upload_ends_with_408(serve: Serve, transcriber: FakeTranscriber, path: str) -> None:
    url = serve(transcriber, upload_idle_timeout_s=0.1)
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), DEADLINE_S) as connection:
        connection.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n" % path.encode())
        connection.sendall(b"Content-Type: application/json\r\n\r\n{")
        assert read_answer(connection).startswith(b"HTTP/1.1 408")


def test_an_upload_that_drips_ends_with_408_although_it_never_pauses(
    serve: Serve, transcriber: FakeTranscriber
) -> None:
    url = serve(transcriber, upload_idle_timeout_s=5.0, upload_timeout_s=0.3)
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), DEADLINE_S) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        connection.settimeout(0.02)
        answer = b""
        for _ in range(100):
            connection.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                answer += connection.recv(65_536)
            if answer:
                break
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"allowed: 0.3 s for the whole upload" in answer


def test_slow_uploads_take_no_place_from_a_fast_one(serve: Serve, transcriber: FakeTranscriber) -> None:
    """64 sockets with a byte each now and then kept everybody else out."""
    url = serve(transcriber, max_concurrent_requests=1)
    with ExitStack() as held:
        for _ in range(64):
            address = urlsplit(url).hostname, urlsplit(url).port
            connection = held.enter_context(socket.create_connection(address, DEADLINE_S))
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf a")
        assert requests.post(url, data=make_wav(10), timeout=DEADLINE_S).status_code == 200


def test_work_that_takes_too_long_is_ended_with_504(
    serve: Serve, transcriber: FakeTranscriber, wav: bytes
) -> None:
    url = serve(transcriber, request_timeout_s=1.0)
    transcriber.hold()
    refused = requests.post(url, data=wav, timeout=DEADLINE_S)
    assert refused.status_code == 504
    assert "allowed: 1 s from the audio's arrival" in refused.json()["error"]
    wait_for(lambda: transcriber.n_cancelled == 1)


def test_a_client_that_leaves_while_waiting_cancels_the_work(
    connection: socket.socket, url: str, transcriber: FakeTranscriber, wav: bytes
) -> None:
    transcriber.hold()
    connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(wav) + wav)
    wait_for(lambda: transcriber.n_running == 1)
    connection.close()
    wait_for(lambda: transcriber.n_cancelled == 1)


def test_a_declared_length_over_any_limit_is_refused_before_a_byte_is_sent(connection: socket.socket) -> None:
    connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
    assert read_answer(connection).startswith(b"HTTP/1.1 413")


def test_a_client_that_asks_first_is_refused_before_it_sends(connection: socket.socket) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9000000\r\n\r\n"
    connection.sendall(head.replace(b"POST / ", b"POST /models/unknown "))
    assert read_answer(connection).startswith(b"HTTP/1.1 404")


def test_overload_is_refused_at_once_with_the_time_to_try_again(
    serve: Serve, transcriber: FakeTranscriber, wav: bytes
) -> None:
    url = serve(transcriber, max_concurrent_requests=1)
    transcriber.hold()
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), DEADLINE_S) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(wav) + wav)
        wait_for(lambda: transcriber.n_running == 1)
        refused = requests.post(url, data=bytes(200_000), timeout=DEADLINE_S)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        assert "allowed: 1 at a time" in refused.json()["error"]
        transcriber.release()
        assert read_answer(connection).startswith(b"HTTP/1.1 200")


def test_a_request_that_would_wait_too_long_is_refused_before_it_sends(
    serve: Serve, transcriber: FakeTranscriber, wav: bytes
) -> None:
    url = serve(transcriber, max_wait_s=10.0)
    transcriber.wait_s = 10.5
    refused = requests.post(f"{url}/v1/audio/transcriptions", data=bytes(200_000), timeout=DEADLINE_S)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert "may wait 10.5 s for its turn now; allowed: 10 s" in refused.json()["error"]["message"]
    transcriber.wait_s = 10.0
    assert requests.post(url, data=wav, timeout=DEADLINE_S).status_code == 200


DEEPINFRA, OPENAI = "/v1/inference/whisper-base", "/v1/audio/transcriptions"
LARGE_WAV_SAMPLES = 1_500_000


def send(url: str, path: str, audio: bytes) -> requests.Response:
    """Post audio in one of the ways: raw, as base64 in JSON, in a form."""
    if path == OPENAI:
        return requests.post(url + path, files={"file": audio}, data={"model": "whisper-1"}, timeout=DEADLINE_S)
    if path == DEEPINFRA:
        return requests.post(url + path, json={"audio": base64.b64encode(audio).decode()}, timeout=DEADLINE_S)
    return requests.post(url + path, data=audio, timeout=DEADLINE_S)


def deleted_files_bytes() -> int:
    """Return the size of all files that this process has open and that have no name any more."""
    total = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found = os.stat(descriptor)
        except OSError:  # It was closed meanwhile.
            continue
        total += found.st_size if not found.st_nlink else 0
    return total


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files as Linux lists them")
@pytest.mark.parametrize("path", ["/", DEEPINFRA, OPENAI])
def test_a_body_is_written_to_the_disk_once(serve: Serve, transcriber: FakeTranscriber, path: str) -> None:
    """A form of 100 MB took 200 MB of the disk: as a body, and as a part."""
    url = serve(transcriber, max_audio_bytes=5_000_000, openai_max_audio_bytes=5_000_000, max_audio_s=600.0)
    audio = make_wav(LARGE_WAV_SAMPLES)
    gc.collect()  # What other tests have left does not go meanwhile.
    n_before = deleted_files_bytes()
    transcriber.hold()
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(send, url, path, audio)
        try:
            wait_for(lambda: transcriber.n_running == 1)
            assert len(audio) <= deleted_files_bytes() - n_before <= 1.1 * len(audio)
        finally:
            transcriber.release()
        assert answer.result().status_code == 200


@pytest.mark.parametrize("path", ["/", DEEPINFRA, OPENAI])
def test_a_disk_without_space_is_507(
    serve: Serve, transcriber: FakeTranscriber, path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A missing folder fails as a full disk does: with an OSError when the file leaves memory."""
    url = serve(transcriber, max_audio_bytes=5_000_000, openai_max_audio_bytes=5_000_000, max_audio_s=600.0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    answer = send(url, path, make_wav(LARGE_WAV_SAMPLES))
    assert answer.status_code == 507
    assert "cannot be stored (No such file or directory)" in answer.text
    assert str(tmp_path) not in answer.text


def test_a_client_that_leaves_while_its_body_is_parsed_closes_its_file(
    url: str, connection: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread still uses the file when the request is cancelled."""
    closed = threading.Event()
    close = JsonParser.close

    def close_and_tell(parser: Any) -> None:
        close(parser)
        closed.set()

    monkeypatch.setattr(JsonParser, "close", close_and_tell)
    body = b'{"inputs": "' + b"A" * 200_000
    connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + body)
    connection.close()
    assert closed.wait(DEADLINE_S)
