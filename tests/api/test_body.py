"""Bodies as they arrive over a socket: too large, too slow, cut off, or refused unread."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests

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


def test_a_stalled_upload_ends_with_408(serve: Serve, transcriber: FakeTranscriber) -> None:
    url = serve(transcriber, upload_idle_timeout_s=0.1)
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), DEADLINE_S) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf a")
        assert read_answer(connection).startswith(b"HTTP/1.1 408")


def test_a_client_that_leaves_while_sending_frees_its_place(serve: Serve, transcriber: FakeTranscriber) -> None:
    url = serve(transcriber, max_concurrent_requests=1)
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), DEADLINE_S) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf a")
        wait_for(lambda: requests.post(url, data=b"x", timeout=DEADLINE_S).status_code == 429)
    wait_for(lambda: requests.post(url, data=make_wav(10), timeout=DEADLINE_S).status_code == 200)


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
