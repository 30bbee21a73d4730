"""Requests between their last byte and their place: others are answered, and none is parsed in vain."""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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
    """Another was parsed, too, and refused only after that."""
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
    transcriber.hold()
    with ThreadPoolExecutor() as threads:
        working = threads.submit(requests.post, url, data=wav, timeout=DEADLINE_S)
        wait_for(lambda: transcriber.n_running == 1)
        transcriber.wait_s = 6.0
        with SlowParsing(monkeypatch).post(url, wav) as statuses:
            refused = requests.post(url, data=wav, timeout=DEADLINE_S)
            assert refused.status_code == 429
            assert "may wait 12.0 s for its turn now; allowed: 10 s" in refused.json()["error"]
            transcriber.release()
        assert working.result().status_code == 200
        assert statuses == [200]
