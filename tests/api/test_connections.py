"""Connections that say nothing, say it slowly, or never read: they go, and keep nobody out."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
import requests
from starlette.types import Receive, Scope, Send

from hf_asr_endpoint.api.app import create_app
from hf_asr_endpoint.api.connections import ConnectionLimits, limited_protocol
from hf_asr_endpoint.command_line.serve import listen
from tests.api.conftest import DEADLINE_S, make_services, serve_app, wait_for
from tests.fakes import FakeTranscriber

HALF_A_HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nConte"

ServeLimited = Callable[..., str]


@pytest.fixture
def serve_limited(transcriber: FakeTranscriber) -> Iterator[ServeLimited]:
    """Serves with limits of connections, until the test ends; returns the URL."""
    with ExitStack() as stack:

        def start(
            *, max_connections: int = 100, header_timeout_s: float = 60.0, drain_timeout_s: float = 60.0
        ) -> str:
            limits = ConnectionLimits(
                max_connections=max_connections, header_timeout_s=header_timeout_s, drain_timeout_s=drain_timeout_s
            )
            app = create_app(make_services(transcriber))
            return stack.enter_context(serve_app(app, http=limited_protocol(limits)))

        yield start


def connect(url: str) -> socket.socket:
    return socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), DEADLINE_S)


def can_send(connection: socket.socket) -> bool:
    """Send a byte of a body; return whether the server still takes it."""
    try:
        connection.sendall(b"x")
    except OSError:
        return False
    return True


def read_all(connection: socket.socket) -> bytes:
    answer = b""
    while part := connection.recv(65_536):
        answer += part
    return answer


def begin_work(url: str, transcriber: FakeTranscriber, wav: bytes) -> socket.socket:
    """Return a connection whose request is being worked on until the transcriber is released."""
    transcriber.hold()
    connection = connect(url)
    connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(wav) + wav)
    wait_for(lambda: transcriber.n_running == 1)
    return connection


def test_headers_that_drip_end_with_408(serve_limited: ServeLimited) -> None:
    with connect(serve_limited(header_timeout_s=0.3)) as connection:
        for byte in HALF_A_HEAD[:10]:
            connection.sendall(bytes([byte]))
            time.sleep(0.01)  # A drip: no byte alone is late.
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout")
    assert "allowed: 0.3 s" in json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


def test_a_connection_that_says_nothing_is_closed(serve_limited: ServeLimited) -> None:
    with connect(serve_limited(header_timeout_s=0.2)) as connection:
        assert read_all(connection) == b""


def test_the_time_is_for_headers_only(
    serve_limited: ServeLimited, transcriber: FakeTranscriber, wav: bytes
) -> None:
    """Neither an upload nor the work on it is under this limit, and the next request begins anew."""
    url = serve_limited(header_timeout_s=0.3)
    with connect(url) as connection:
        for _ in range(2):
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(wav))
            time.sleep(0.4)  # longer than headers may take
            transcriber.hold()
            connection.sendall(wav)
            wait_for(lambda: transcriber.n_running == 1)
            time.sleep(0.4)
            transcriber.release()
            answer = b""
            while not answer.endswith(b'{"text":"16000 samples"}'):
                part = connection.recv(65_536)
                assert part, answer
                answer += part


def test_what_is_left_of_a_refused_upload_is_thrown_away_for_a_time(serve_limited: ServeLimited) -> None:
    with connect(serve_limited(drain_timeout_s=0.3, header_timeout_s=60.0)) as connection:
        connection.sendall(
            b"POST /unknown HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n" + bytes(10_000)
        )
        assert b"HTTP/1.1 404" in connection.recv(65_536)
        wait_for(lambda: not can_send(connection))


def test_headers_behind_a_refused_upload_have_the_time_of_headers(serve_limited: ServeLimited) -> None:
    with connect(serve_limited(drain_timeout_s=60.0, header_timeout_s=0.3)) as connection:
        connection.sendall(b"POST /unknown HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" + bytes(10_000))
        assert b"HTTP/1.1 404" in connection.recv(65_536)
        connection.sendall(bytes(10_000) + HALF_A_HEAD)
        assert b"HTTP/1.1 408" in read_all(connection)


def test_a_request_with_two_lengths_is_the_last_of_its_connection(serve_limited: ServeLimited) -> None:
    with connect(serve_limited()) as connection:
        lengths = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n" + lengths + b"\r\n0\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 200")


def test_the_connection_that_has_been_idle_the_longest_makes_way(
    serve_limited: ServeLimited, transcriber: FakeTranscriber, wav: bytes
) -> None:
    url = serve_limited(max_connections=3)
    with connect(url) as oldest:
        oldest.sendall(HALF_A_HEAD)  # Read before the next request is: what is unread would reset the connection.
        with begin_work(url, transcriber, wav) as working, connect(url) as newer:
            newer.sendall(HALF_A_HEAD)
            assert requests.get(url + "/health", timeout=DEADLINE_S).status_code == 200
            assert oldest.recv(1) == b""
            newer.sendall(b"nt-Length: 1\r\n\r\nx")
            assert newer.recv(20).startswith(b"HTTP/1.1 4")
            transcriber.release()
            assert working.recv(20).startswith(b"HTTP/1.1 200")


def test_where_no_connection_is_idle_the_new_one_is_429(
    serve_limited: ServeLimited, transcriber: FakeTranscriber, wav: bytes
) -> None:
    url = serve_limited(max_connections=1)
    with begin_work(url, transcriber, wav) as working:
        refused = requests.get(url + "/health", timeout=DEADLINE_S)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
        assert "1 connections are open; allowed: 1" in refused.json()["error"]
        transcriber.release()
        assert working.recv(20).startswith(b"HTTP/1.1 200")


def test_a_refused_client_that_is_sending_reads_why(
    serve_limited: ServeLimited, transcriber: FakeTranscriber, wav: bytes
) -> None:
    """Its connection was closed before it had sent all, which resets it: it saw no answer."""
    url = serve_limited(max_connections=1)
    with begin_work(url, transcriber, wav), connect(url) as refused:
        refused.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n" + bytes(20_000_000))
        assert read_all(refused).startswith(b"HTTP/1.1 429")
        transcriber.release()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="needs Linux's TCP_USER_TIMEOUT")
def test_a_client_that_never_reads_is_dropped(transcriber: FakeTranscriber) -> None:
    """Its response stayed in memory for ever."""
    ended: list[float] = []

    async def respond_much(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(50_000_000), "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        ended.append(time.monotonic())

    listener = listen("127.0.0.1", 0, send_timeout_s=0.5)
    with serve_app(respond_much, listener=listener, lifespan="off") as url, connect(url) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: bool(ended))


BROKEN_CHUNK = b"x\r\n"
CHUNKED_HEAD = b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("method", [b"POST", b"HEAD"])
def test_a_body_that_is_not_http_gets_one_answer(
    serve_limited: ServeLimited, caplog: pytest.LogCaptureFixture, method: bytes
) -> None:
    """The application's own answer comes too late, and is no bug of its own."""
    with connect(serve_limited()) as connection:
        connection.sendall(method + b" /unknown" + CHUNKED_HEAD + BROKEN_CHUNK)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_body_that_is_not_http_behind_an_answer_closes_the_connection(
    serve_limited: ServeLimited, caplog: pytest.LogCaptureFixture
) -> None:
    with connect(serve_limited()) as connection:
        connection.sendall(b"POST /unknown" + CHUNKED_HEAD)
        answer = connection.recv(65_536)
        connection.sendall(BROKEN_CHUNK)
        answer += read_all(connection)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
