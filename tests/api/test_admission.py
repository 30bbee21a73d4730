"""Requests between their last byte and their place: others are answered, and none is parsed in vain."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from hf_asr_endpoint.api.body import N_PARSING_THREADS
from hf_asr_endpoint.api.json_body import JsonParser
from tests.api.conftest import DEADLINE_S, Serve, wait_for
from tests.fakes import FakeTranscriber


class SlowParsing:
    """JSON bodies are parsed only once `go_on` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()
        feed = JsonParser.feed

        def feed_slowly(parser: Any, block: bytes) -> None:
            self.begun.release()
            assert self.go_on.wait(DEADLINE_S)
            feed(parser, block)

        monkeypatch.setattr(JsonParser, "feed", feed_slowly)

    @contextlib.contextmanager
    def post(self, url: str, wav: bytes, *, n: int = 1) -> Iterator[list[int]]:
        """Post JSON bodies, and enter when all are being parsed. Their statuses are there at the end."""
        document = {"inputs": base64.b64encode(wav).decode()}
        statuses: list[int] = []
        with ThreadPoolExecutor() as threads:
            answers = [threads.submit(requests.post, url, json=document, timeout=DEADLINE_S) for _ in range(n)]
            try:
                for _ in answers:
                    assert self.begun.acquire(timeout=DEADLINE_S)
                yield statuses
            finally:
                self.go_on.set()
            statuses += [answer.result().status_code for answer in answers]


def test_others_are_answered_while_bodies_are_parsed(
    url: str, wav: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SlowParsing(monkeypatch).post(url, wav, n=N_PARSING_THREADS) as statuses:
        assert requests.get(f"{url}/health", timeout=DEADLINE_S).status_code == 200
    assert statuses == [200] * N_PARSING_THREADS


def test_a_body_that_is_parsed_has_the_last_place(
    serve: Serve, transcriber: FakeTranscriber, wav: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = serve(transcriber, max_concurrent_requests=1)
    with SlowParsing(monkeypatch).post(url, wav) as statuses:
        refused = requests.post(url, data=wav, timeout=DEADLINE_S)
        assert refused.status_code == 429
        assert "1 requests are in flight; allowed: 1 at a time" in refused.json()["error"]
    assert statuses == [200]
    assert requests.post(url, data=wav, timeout=DEADLINE_S).status_code == 200


def test_bodies_that_are_parsed_count_in_the_wait(
    serve: Serve, transcriber: FakeTranscriber, wav: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = serve(transcriber, max_wait_s=10.0)
    transcriber.wait_s, transcriber.turn_wait_s = 6.0, 4.5
    with SlowParsing(monkeypatch).post(url, wav) as statuses:
        refused = requests.post(url, data=wav, timeout=DEADLINE_S)
        assert refused.status_code == 429
        assert "may wait 10.5 s for its turn now; allowed: 10 s" in refused.json()["error"]
    assert statuses == [200]
    assert requests.post(url, data=wav, timeout=DEADLINE_S).status_code == 200


def connect(url: str) -> socket.socket:
    return socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), DEADLINE_S)


def head_of(body: bytes) -> bytes:
    head = "POST / HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {len(body)}", "", ""
    return "\r\n".join(head).encode()


def test_of_two_bodies_that_end_together_one_is_refused_unparsed(
    serve: Serve, transcriber: FakeTranscriber, wav: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, parsing = serve(transcriber, max_concurrent_requests=1), SlowParsing(monkeypatch)
    body = json.dumps({"inputs": base64.b64encode(wav).decode()}).encode()
    with connect(url) as first, connect(url) as second:
        for connection in (first, second):  # Both arrive while there is room.
            connection.sendall(head_of(body) + body[:-1])
        requests.get(f"{url}/health", timeout=DEADLINE_S)
        first.sendall(body[-1:])
        assert parsing.begun.acquire(timeout=DEADLINE_S)
        second.sendall(body[-1:])
        assert second.recv(65_536).startswith(b"HTTP/1.1 429")  # Parsing would wait for `go_on`.
        parsing.go_on.set()
        assert first.recv(65_536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("ending", ["a bad body", "a client that leaves"])
def test_a_place_that_was_promised_is_free_again(
    serve: Serve, transcriber: FakeTranscriber, wav: bytes, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    url, parsing = serve(transcriber, max_concurrent_requests=1), SlowParsing(monkeypatch)
    body = b"{}"
    with connect(url) as connection:
        connection.sendall(head_of(body) + body)
        assert parsing.begun.acquire(timeout=DEADLINE_S)
        assert requests.post(url, data=wav, timeout=DEADLINE_S).status_code == 429
        if ending == "a bad body":
            parsing.go_on.set()
            assert connection.recv(65_536).startswith(b"HTTP/1.1 4")
    parsing.go_on.set()
    wait_for(lambda: requests.post(url, data=wav, timeout=DEADLINE_S).status_code == 200)
