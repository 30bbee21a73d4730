"""The kinds of requests in a soak. Each asks once, checks the response, and returns its text.

The same kind with the same recording must get the same text each time.
"""

from __future__ import annotations

import base64
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from bench.soak.client import Client, require, text_of

OPENAI, DEEPINFRA, JOBS = "/v1/audio/transcriptions", "/v1/inference/openai/whisper-base", "/v1/jobs"
POLL_INTERVAL_S = 0.5
MAX_PATIENCE_S = 2.0
"""How long at most a client waits that then leaves without a response."""

Ask = Callable[[Client, Path], str]
"""Asks for the transcription of a file. Returns the text; an empty one where the client expects none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """is_long: sends the long recording."""

    name: str
    ask: Ask
    is_long: bool = False


def _huggingface_raw(client: Client, path: Path) -> str:
    return text_of(client.post("/", data=path.read_bytes()).json())


def _huggingface_words(client: Client, path: Path) -> str:
    body = {"inputs": _base64(path), "parameters": {"return_timestamps": "word"}}
    document = client.post("/", json=body).json()
    words = " ".join(chunk["text"].strip() for chunk in document["chunks"])
    require(words.replace(" ", "") == document["text"].replace(" ", ""), f"other words than text: {document}")
    return text_of(document)


def _huggingface_beams(client: Client, path: Path) -> str:
    return text_of(client.post("/", params={"num_beams": 5}, data=path.read_bytes()).json())


def _openai(response_format: str) -> Ask:
    def ask(client: Client, path: Path) -> str:
        answer = client.post(OPENAI, **_form(path, response_format=response_format))
        if response_format == "srt":
            require(answer.text.startswith("1\n00:"), f"not srt: {answer.text}")
            return answer.text
        document = answer.json()
        if response_format == "verbose_json":
            require(document["segments"], f"no segments: {document}")
        return text_of(document)

    return ask


def _openai_stream(client: Client, path: Path) -> str:
    with client.post(OPENAI, stream=True, **_form(path, stream="true")) as answer:
        events = list(_events(answer))
    require(events and events[-1]["type"] == "transcript.text.done", f"no end: {events[-1:]}")
    deltas = "".join(event["delta"] for event in events if event["type"] == "transcript.text.delta")
    require(deltas == events[-1]["text"], f"the deltas are not the text: {events}")
    return text_of(events[-1])


def _openai_stream_left(client: Client, path: Path) -> str:
    """Leave after the first event. The connection is closed, so that the next request needs a new one."""
    with client.post(OPENAI, stream=True, **_form(path, stream="true")) as answer:
        event = next(_events(answer), None)
        require(event and event["type"] == "transcript.text.delta", f"no delta first: {event}")
    return ""


def _deepinfra_form(client: Client, path: Path) -> str:
    return _deepinfra_text(client.post(DEEPINFRA, files={"audio": path.read_bytes()}))


def _deepinfra_json(client: Client, path: Path) -> str:
    return _deepinfra_text(client.post(DEEPINFRA, json={"audio": _base64(path)}))


def _deepinfra_text(answer: requests.Response) -> str:
    document = answer.json()
    require(document["segments"] and document["inference_status"]["status"] == "succeeded", document)
    return text_of(document)


def _whisper_cpp(client: Client, path: Path) -> str:
    return text_of(client.post("/inference", files={"file": path.read_bytes()}).json())


def _asr_service(client: Client, path: Path) -> str:
    answer = client.post("/asr", params={"output": "json"}, files={"audio_file": path.read_bytes()})
    return text_of(answer.json())


def _job(client: Client, path: Path) -> str:
    place = f"/v1/requests/{client.post(JOBS, status=202, **_form(path)).json()['request_id']}"
    while (document := client.get(place).json())["inference_status"]["status"] in ("queued", "running"):
        time.sleep(POLL_INTERVAL_S)
    require(document["inference_status"]["status"] == "succeeded", document)
    client.delete(place)
    client.get(place, status=404)
    return text_of(document["results"])


def _job_cancelled(client: Client, path: Path) -> str:
    place = f"/v1/requests/{client.post(JOBS, status=202, **_form(path)).json()['request_id']}"
    time.sleep(client.random.uniform(0, MAX_PATIENCE_S))
    document = client.delete(place).json()
    if document.get("deleted"):  # It had ended already.
        client.get(place, status=404)
        return ""
    require(document["inference_status"]["status"] == "cancelled", document)
    require(client.delete(place).json() == document, "a second DELETE answers otherwise")
    require(client.get(place).json() == document, "it reads otherwise than after DELETE")
    return ""


def _left_while_transcribed(client: Client, path: Path) -> str:
    body = path.read_bytes()
    with client.connect() as connection:
        connection.sendall(_head(len(body)) + body)
        time.sleep(client.random.uniform(0, MAX_PATIENCE_S))
    return ""


def _left_while_uploading(client: Client, path: Path) -> str:
    body = path.read_bytes()
    with client.connect() as connection:
        connection.sendall(_head(len(body)) + body[: client.random.randrange(len(body))])
        time.sleep(client.random.uniform(0, MAX_PATIENCE_S))
    return ""


def _bad(client: Client, path: Path) -> str:
    status, where, arguments = client.random.choice(BAD_REQUESTS)
    require("error" in client.post(where, status=status, **arguments).text, "an error without its message")
    return ""


BAD_REQUESTS: tuple[tuple[int, str, dict[str, Any]], ...] = (
    (415, "/", {"data": b"This is no recording. " * 1000}),
    (400, "/", {"data": b'{"inputs": "UklGRg==", '}),
    (422, "/", {"json": {"inputs": "UklGRg==", "parameters": {"no_such_parameter": 1}}}),
    (422, "/?num_beams=99", {"data": b"RIFF"}),
    (404, OPENAI, {"files": {"file": b"RIFF"}, "data": {"model": "no-such-model"}}),
    (400, OPENAI, {"data": b"--x\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}),
    (404, "/v1/audio/nothing", {}),
)
"""Status, path and body."""

KINDS: tuple[Kind, ...] = (
    Kind(name="HF, raw", ask=_huggingface_raw),
    Kind(name="HF, JSON, words", ask=_huggingface_words),
    Kind(name="HF, 5 beams", ask=_huggingface_beams),
    Kind(name="HF, raw, long", ask=_huggingface_raw, is_long=True),
    Kind(name="OpenAI, json", ask=_openai("json")),
    Kind(name="OpenAI, verbose_json", ask=_openai("verbose_json")),
    Kind(name="OpenAI, srt", ask=_openai("srt")),
    Kind(name="OpenAI, stream", ask=_openai_stream),
    Kind(name="OpenAI, stream, long", ask=_openai_stream, is_long=True),
    Kind(name="OpenAI, stream, long, left", ask=_openai_stream_left, is_long=True),
    Kind(name="DeepInfra, form", ask=_deepinfra_form),
    Kind(name="DeepInfra, JSON", ask=_deepinfra_json),
    Kind(name="whisper.cpp", ask=_whisper_cpp),
    Kind(name="whisper-asr-webservice", ask=_asr_service),
    Kind(name="job", ask=_job),
    Kind(name="job, cancelled", ask=_job_cancelled),
    Kind(name="left while transcribed", ask=_left_while_transcribed, is_long=True),
    Kind(name="left while uploading", ask=_left_while_uploading),
    Kind(name="bad", ask=_bad),
)


def _form(path: Path, **fields: str) -> dict[str, Any]:
    return {"files": {"file": (path.name, path.read_bytes())}, "data": {"model": "whisper-1", **fields}}


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _head(n_bytes: int) -> bytes:
    return f"POST / HTTP/1.1\r\nHost: soak\r\nContent-Length: {n_bytes}\r\n\r\n".encode()


def _events(answer: requests.Response) -> Iterator[dict[str, Any]]:
    """Yield the data of server-sent events."""
    lines = (line.decode() for line in answer.iter_lines(chunk_size=1))
    for key, group in itertools.groupby(lines, key=bool):
        data = [line.removeprefix("data: ") for line in group if line.startswith("data: ")] if key else []
        if data and data[0] != "[DONE]":
            yield json.loads("\n".join(data))
