"""What the server answers, and what clients ask, in every dialect, as the document describes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
import requests
from deepinfra import AutomaticSpeechRecognition
from huggingface_hub import InferenceClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hf_asr_endpoint.api.app import create_app
from tests.api.conftest import make_services, serve_app
from tests.api.description.contract import Contract
from tests.conftest import DATA
from tests.fakes import FakeTranscriber
from tests.server import Server

OPENAI, TRANSLATIONS = "/v1/audio/transcriptions", "/v1/audio/translations"
DEEPINFRA = "/v1/inference/whisper-1"
MISTRAL = {"User-Agent": "mistral-client-python/1.9"}
PROGRESS = {"Accept": "text/event-stream; progress=true"}
SPEECH = (DATA / "533-1066-0006.flac").read_bytes()
SEGMENTS_AND_WORDS = ["segment", "word"]

FORMS: list[tuple[str, str, dict[str, Any], dict[str, str]]] = [
    *((OPENAI, "file", {"response_format": name}, {}) for name in ("json", "text", "srt", "vtt", "ass", "tsv")),
    (OPENAI, "file", {"response_format": "verbose_json", "timestamp_granularities[]": SEGMENTS_AND_WORDS}, {}),
    (OPENAI, "file", {"include[]": "logprobs", "word_timestamps": "true"}, {}),
    (OPENAI, "file", {"stream": "true", "include": "logprobs"}, PROGRESS),
    (OPENAI, "file", {"stream": "true", "response_format": "verbose_json", "word_timestamps": "true"}, {}),
    (OPENAI, "file", {"chunking_strategy": '{"type": "server_vad"}', "language": "en"}, {"User-Agent": "groq"}),
    (OPENAI, "file", {"temperature": "3"}, {}),
    (OPENAI, "file", {"model": "x"}, {}),
    (TRANSLATIONS, "file", {"response_format": "verbose_json"}, {}),
    (OPENAI, "file", {"timestamp_granularities": "word"}, MISTRAL),
    (OPENAI, "file", {"stream": "true", "timestamp_granularities": "segment"}, MISTRAL),
    (OPENAI, "file", {"temperature": "3"}, MISTRAL),
    (DEEPINFRA, "audio", {"chunk_level": "word"}, {}),
    (DEEPINFRA, "audio", {"suppress_tokens": "1,2", "language": "en"}, {}),
    (DEEPINFRA, "audio", {"webhook": "http://127.0.0.1:9/done"}, {}),
    (DEEPINFRA, "audio", {"patience": "0"}, {}),
    ("/v1/inference/x", "audio", {}, {}),
    *((f"/asr?output={name}", "audio_file", {}, {}) for name in ("txt", "json&word_timestamps=true", "vtt")),
    ("/asr?task=x", "audio_file", {}, {}),
    ("/detect-language", "audio_file", {}, {}),
    *(("/inference", "file", {"response_format": name}, {}) for name in ("json", "verbose_json", "lrc")),
    ("/inference", "file", {"beam_size": "-2"}, {}),
    ("/v1/jobs", "file", {"task": "translate", "response_format": "vtt"}, {}),
    ("/v1/jobs", "file", {"task": "x"}, {}),
]
WRONG = {"temperature": "3", "patience": "0", "beam_size": "-2"}
"""Values that are refused, and that the document does not allow either."""

READS = ("/v1/models", "/v1/models/whisper-1", "/v1/models/x", "/models/whisper-1/schema", "/models/x/schema")
OPERATORS = ("/health", "/health/ready", "/health/live", "/info", "/metrics", "/openapi.json", "/docs")


@pytest.fixture(scope="module")
def contract(server: Server) -> Contract:
    return Contract(requests.get(f"{server.url}/openapi.json", timeout=30).json())


def check(contract: Contract, answer: requests.Response, *, is_valid: bool = True) -> requests.Response:
    """Check an answer and, if it is valid, the request."""
    sent = answer.request
    assert sent.method
    assert sent.url
    if is_valid:
        body = sent.body if isinstance(sent.body, bytes) else (sent.body or "").encode()
        contract.check_request(sent.method, sent.url, sent.headers.get("Content-Type", ""), body)
    contract.check_answer(
        sent.method, sent.url, answer.status_code, answer.headers["Content-Type"], answer.content
    )
    return answer


@pytest.mark.parametrize(("path", "field", "fields", "headers"), FORMS)
def test_answers_to_forms_are_described(
    server: Server, contract: Contract, path: str, field: str, fields: dict[str, Any], headers: dict[str, str]
) -> None:
    answer = requests.post(
        server.url + path, files={field: ("a.flac", SPEECH)}, data=fields, headers=headers, timeout=120
    )
    is_wrong = bool(fields.items() & WRONG.items()) if "timestamp_granularities[]" not in fields else False
    check(contract, answer, is_valid=not is_wrong and "task=x" not in path and fields.get("task") != "x")


@pytest.mark.parametrize("timestamps", [None, "true", "word", "x"])
def test_answers_to_audio_alone_are_described(server: Server, contract: Contract, timestamps: str | None) -> None:
    query = {"return_timestamps": timestamps} if timestamps else {}
    headers = {"Content-Type": "audio/flac"}
    answer = requests.post(server.url, data=SPEECH, params=query, headers=headers, timeout=120)
    check(contract, answer, is_valid=timestamps != "x")


@pytest.mark.parametrize("path", ["/", OPENAI, TRANSLATIONS, "/inference", "/asr", "/v1/jobs", DEEPINFRA])
@pytest.mark.parametrize("body", [b"", b"Hello, this is no audio."], ids=["empty", "text"])
def test_answers_to_no_audio_are_described(server: Server, contract: Contract, path: str, body: bytes) -> None:
    answer = check(contract, requests.post(server.url + path, data=body, timeout=60), is_valid=False)
    assert answer.status_code >= 400


@pytest.mark.parametrize("path", [*READS, *OPERATORS])
def test_answers_to_reading_are_described(server: Server, contract: Contract, path: str) -> None:
    check(contract, requests.get(server.url + path, timeout=60))


def test_a_job_is_described_until_it_is_deleted(server: Server, contract: Contract) -> None:
    created = requests.post(f"{server.url}/v1/jobs", files={"file": ("a.flac", SPEECH)}, timeout=60)
    url = f"{server.url}/v1/requests/{check(contract, created).json()['request_id']}"
    check(contract, requests.get(f"{url}/events", timeout=120))
    assert "results" in check(contract, requests.get(url, timeout=60)).json()
    assert check(contract, requests.delete(url, timeout=60)).json()["deleted"]
    assert check(contract, requests.get(url, timeout=60)).status_code == 404


def test_the_schemas_of_a_model_are_those_of_the_path(server: Server, contract: Contract) -> None:
    schemas = requests.get(f"{server.url}/models/openai/whisper-base/schema", timeout=60).json()
    operation = contract.document["paths"]["/v1/inference/{model}"]["post"]
    form = contract.resolve(operation["requestBody"]["content"]["multipart/form-data"]["schema"])
    assert schemas["input_schema"]["properties"] == form["properties"]
    assert "inference_status" in schemas["output_schema"]["properties"]


class Recorder:
    """ASGI middleware that keeps each request's method, address, media type and body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.requests: list[tuple[str, str, str, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = b"".join([part async for part in _parts(receive)])
        kind = dict(scope["headers"]).get(b"content-type", b"").decode()
        url = f"{scope['path']}?{scope['query_string'].decode()}"
        self.requests.append((scope["method"], url, kind, body))
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        await self._app(scope, replay, send)


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


@pytest.fixture(scope="module")
def recorder() -> Iterator[tuple[Recorder, str]]:
    recorder = Recorder(create_app(make_services(FakeTranscriber())))
    with serve_app(recorder) as url:
        yield recorder, url


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_requests_of_clients_are_described(contract: Contract, recorder: tuple[Recorder, str]) -> None:
    """Of openai-python, huggingface_hub and deepinfra, with every kind of value that they can send."""
    recording, url = recorder
    with openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
        ask_as_openai(client)
    hugging_face = InferenceClient(model=url)
    hugging_face.automatic_speech_recognition(SPEECH)
    hugging_face.automatic_speech_recognition(
        SPEECH, extra_body={"return_timestamps": "word", "generation_parameters": {"num_beams": 2, "top_k": None}}
    )
    deep_infra = AutomaticSpeechRecognition(f"{url}{DEEPINFRA}", "any")
    deep_infra.generate({"audio": SPEECH, "task": "transcribe"})
    deep_infra.client.close()
    assert len(recording.requests) >= 9
    for request in recording.requests:
        contract.check_request(*request)


def ask_as_openai(client: openai.OpenAI) -> None:
    create: Any = client.audio.transcriptions.create
    file = ("a.flac", SPEECH)
    create(model="whisper-1", file=file)
    create(
        model="whisper-1",
        file=file,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
        temperature=0.2,
        language="en",
        prompt="Ada",
        chunking_strategy={"type": "server_vad", "threshold": 0.4, "prefix_padding_ms": 200},
    )
    list(create(model="whisper-1", file=file, stream=True, include=["logprobs"], extra_body={"keywords": ["Ada"]}))
    client.audio.translations.create(model="whisper-1", file=file, prompt="Ada")
    client.models.list()
    client.models.retrieve("whisper-1")
