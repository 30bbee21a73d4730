"""A server with two real models and memory for one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.api.conftest import wait_for
from tests.server import Server, run_server

TINY, BASE = "whisper-tiny.en", "whisper-base"
PATH = "/v1/audio/transcriptions"
TIMEOUT_S = 120.0


@pytest.fixture(scope="module")
def server(cache_dir: Path) -> Iterator[Server]:
    models = ("--model", f"embedded:{TINY}", "--model", f"embedded:{BASE}", "--cache-dir", str(cache_dir))
    with run_server(*models, "--max-model-bytes", "150MiB", "--slots", "4", "--max-beams", "2") as server:
        yield server


def transcribe(server: Server, model: str, audio: bytes) -> str:
    answer = requests.post(
        server.url + PATH, data={"model": model, "language": "en"}, files={"file": audio}, timeout=TIMEOUT_S
    )
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["text"]
    return text


def state(server: Server, model: str) -> str:
    status: str = requests.get(f"{server.url}/v1/models/{model}", timeout=TIMEOUT_S).json()["status"]
    return status


def test_clients_that_alternate_get_what_each_model_alone_writes(server: Server, jfk: bytes) -> None:
    alone = {model: transcribe(server, model, jfk) for model in (TINY, BASE)}
    assert alone[TINY] != alone[BASE], "the models differ in a comma"

    def client(number: int) -> list[tuple[str, str]]:
        models = [(TINY, BASE)[(number + turn) % 2] for turn in range(2)]
        return [(model, transcribe(server, model, jfk)) for model in models]

    with ThreadPoolExecutor(8) as clients:
        for texts in clients.map(client, range(8)):
            assert all(text == alone[model] for model, text in texts)
    assert sorted((state(server, TINY), state(server, BASE))) == ["ready", "unloaded"]


def test_every_api_chooses_a_model_in_its_own_way(server: Server, jfk: bytes) -> None:
    refused = requests.post(server.url, data=jfk, params={"language": "de"}, timeout=TIMEOUT_S)
    assert "English-only" in refused.json()["error"], "the default is tiny.en"
    path = f"{server.url}/models/openai/{BASE}"
    assert requests.post(path, data=jfk, params={"language": "de"}, timeout=TIMEOUT_S).status_code == 200
    path = f"{server.url}/v1/inference/{BASE}"
    answer = requests.post(path, files={"audio": jfk}, data={"language": "de"}, timeout=TIMEOUT_S)
    assert answer.json()["language"] == "de"
    job = requests.post(
        f"{server.url}/v1/jobs", files={"file": jfk}, data={"model": BASE, "language": "de"}, timeout=TIMEOUT_S
    ).json()["request_id"]

    def status() -> str:
        document = requests.get(f"{server.url}/v1/requests/{job}", timeout=TIMEOUT_S).json()
        found: str = document["inference_status"]["status"]
        return found

    wait_for(lambda: status() == "succeeded")


def test_an_unknown_model_is_refused_with_the_names_of_all(server: Server, jfk: bytes) -> None:
    answer = requests.post(server.url + PATH, data={"model": "x"}, files={"file": jfk}, timeout=TIMEOUT_S)
    assert answer.status_code == 404
    message = answer.json()["error"]["message"]
    assert TINY in message
    assert BASE in message
