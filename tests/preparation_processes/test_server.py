"""A server with `--preparation-processes 2` on the CPU answers as one that prepares in threads."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import SERVER_FLAGS
from tests.engine_processes.conftest import DEADLINE_S, children_of, needs_proc, wait_for
from tests.engine_processes.test_server import is_alive
from tests.server import Server, run_server

pytestmark = needs_proc


@pytest.fixture(scope="module")
def with_processes(cache_dir: Path) -> Iterator[Server]:
    flags = ("--cache-dir", str(cache_dir), *SERVER_FLAGS, "--preparation-processes", "2")
    with run_server(*flags) as running:
        yield running


def preparing(server: Server) -> set[int]:
    """Return the server's processes that prepare audio."""
    children = children_of(server.process.pid)
    return {pid for pid in children if b"preparation_processes.child" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def openai(server: Server, audio: bytes, **fields: str) -> tuple[int, str]:
    response = requests.post(
        f"{server.url}/v1/audio/transcriptions",
        files={"file": ("audio", io.BytesIO(audio))},
        data={"model": "whisper-1", **fields},
        timeout=DEADLINE_S,
    )
    return response.status_code, response.text


TIMES = ("start", "end")
INEXACT = ("probability", "logprob", "no_speech_prob", "compression_ratio")
"""Sums of floats differ in their last digits from process to process."""
TIME_TOLERANCE_S = 0.3  # Attention decides by those, too, where a word ends before a pause.


def spoken(body: Any) -> Any:
    """Return a response without what is not exact, and without times."""
    if isinstance(body, list):
        return [spoken(one) for one in body]
    if isinstance(body, dict):
        return {key: spoken(value) for key, value in body.items() if not key.endswith((*INEXACT, *TIMES))}
    return body


def times(body: Any) -> list[float]:
    """Return all times in a response."""
    if isinstance(body, list):
        return [time for one in body for time in times(one)]
    if isinstance(body, dict):
        own = [body[key] for key in TIMES if key in body]
        return own + [time for value in body.values() for time in times(value)]
    return []


@pytest.mark.parametrize("kind", ["clip", "long", "not audio", "too long"])
def test_answers_equal_those_of_threads(
    server: Server, with_processes: Server, jfk: bytes, long_recording: bytes, silent_minutes: bytes, kind: str
) -> None:
    audio = {"clip": jfk, "long": long_recording, "not audio": b"no" * 500, "too long": silent_minutes}[kind]
    fields = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    answers = [openai(one, audio, **fields) for one in (server, with_processes)]
    (status, expected), (other_status, body) = answers
    assert status == other_status
    assert spoken(json.loads(body)) == spoken(json.loads(expected))
    assert times(json.loads(body)) == pytest.approx(times(json.loads(expected)), abs=TIME_TOLERANCE_S)
    assert (status == 200) == (kind in ("clip", "long"))


def test_other_ways_to_ask_equal_those_of_threads(server: Server, with_processes: Server, jfk: bytes) -> None:
    def ask(one: Server) -> tuple[Any, ...]:
        streamed = openai(one, jfk, stream="true", response_format="json")
        task = requests.post(one.url, data=jfk, params={"return_timestamps": "true"}, timeout=DEADLINE_S).json()
        return streamed, task["text"], len(task["chunks"])

    assert ask(server) == ask(with_processes)


def test_prepared_audio_is_counted(with_processes: Server, jfk: bytes) -> None:
    def prepared_s() -> float:
        text = requests.get(f"{with_processes.url}/metrics", timeout=DEADLINE_S).text
        families = {family.name: family for family in text_string_to_metric_families(text)}
        value: float = families["hf_asr_prepared_audio_seconds"].samples[0].value
        return value

    before_s = prepared_s()
    openai(with_processes, jfk)
    wait_for(lambda: prepared_s() - before_s >= 10.0)


def test_processes_end_with_a_killed_server(with_processes: Server) -> None:
    """The last test of this server."""
    processes = preparing(with_processes)
    assert len(processes) == 2
    with_processes.process.kill()
    wait_for(lambda: not any(map(is_alive, processes)))
