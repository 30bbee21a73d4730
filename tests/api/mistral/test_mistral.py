"""Mistral's clients get Mistral's answers on OpenAI's path, others OpenAI's."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
import requests

from hf_asr_endpoint.api.mistral.parameters import ParsedParameters, parse_parameters
from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.errors import (
    EngineError,
    InvalidParameter,
    UnknownModel,
    UnknownParameter,
    UnsupportedValue,
)
from hf_asr_endpoint.types import TranscriptionOptions, Word
from tests.api.conftest import MODELS, Serve
from tests.fakes import FakeTranscriber, make_segment
from tests.server import Server

TIMEOUT_S = 60
AGENT = "mistral-client-python/3.7.0"
WORDS = [
    Word(word=" One,", start=0.0, end=0.4, probability=0.5),
    Word(word=" two.", start=0.5, end=1.0, probability=1.0),
]
SEGMENTS = [
    make_segment(" One, two.", end=1.0, tokens=(1, 2), words=WORDS),
    make_segment(" Three.", start=1.0, end=2.0, tokens=(3,)),
]


def parse(*fields: tuple[str, str]) -> ParsedParameters:
    return parse_parameters(fields, models=MODELS)


def post(
    url: str,
    audio: bytes,
    *,
    fields: Iterable[tuple[str, str]] = (),
    agent: str = AGENT,
    header: str = "User-Agent",
) -> requests.Response:
    return requests.post(
        f"{url}/v1/audio/transcriptions",
        data=[("model", "whisper-1"), *fields],
        files={"file": ("a.wav", audio)},
        headers={header: agent},
        timeout=TIMEOUT_S,
    )


@pytest.fixture
def segments_url(serve: Serve) -> str:
    return serve(FakeTranscriber(segments=SEGMENTS))


def test_defaults() -> None:
    assert parse() == ParsedParameters(
        options=TranscriptionOptions(), model="openai/whisper-base", is_stream=False, granularity=None
    )


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ([("stream", "false"), ("diarize", "false")], TranscriptionOptions()),
        ([("language", "en"), ("temperature", "0.0")], TranscriptionOptions(language="en")),
        ([("temperature", "0.5")], TranscriptionOptions(decoding=DecodingOptions(temperatures=(0.5,)))),
        ([("context_bias", "Tesla"), ("context_bias", "Musk")], TranscriptionOptions(hotwords="Tesla, Musk")),
        ([("timestamp_granularities", "segment")], TranscriptionOptions()),
        ([("timestamp_granularities[]", "word")], TranscriptionOptions(word_timestamps=True)),
    ],
)
def test_fields_become_options(fields: list[tuple[str, str]], options: TranscriptionOptions) -> None:
    assert parse(*fields).options == options


@pytest.mark.parametrize(
    ("field", "error", "message"),
    [
        (("model", "voxtral-mini-latest"), UnknownModel, "'voxtral-mini-latest' is not served here"),
        (("diarize", "true"), UnsupportedValue, "speakers are not distinguished; allowed: false"),
        (("file_url", "https://example.com/a.mp3"), UnsupportedValue, "URLs are not opened"),
        (("timestamp_granularities", "phrase"), InvalidParameter, "allowed: segment or word"),
        (("temperature", "7"), InvalidParameter, "temperature is '7'"),
        (("context_bia", "x"), UnknownParameter, "did you mean 'context_bias'"),
    ],
)
def test_what_is_not_supported_is_refused(field: tuple[str, str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        parse(field)


@pytest.mark.parametrize(
    ("granularity", "chunks"),
    [
        (None, []),
        ("segment", [(" One, two.", 0.0, 1.0), (" Three.", 1.0, 2.0)]),
        ("word", [(" One,", 0.0, 0.4), (" two.", 0.5, 1.0)]),
    ],
)
def test_the_body_is_mistrals(
    segments_url: str, wav: bytes, granularity: str | None, chunks: list[tuple[str, float, float]]
) -> None:
    fields = [("timestamp_granularities", granularity)] if granularity else []
    assert post(segments_url, wav, fields=fields).json() == {
        "model": "whisper-1",
        "text": "One, two. Three.",
        "language": "en",
        "segments": [
            {"type": "transcription_segment", "text": text, "start": start, "end": end}
            for text, start, end in chunks
        ],
        "usage": {"prompt_audio_seconds": 1, "prompt_tokens": 50, "completion_tokens": 3, "total_tokens": 53},
    }


def events_of(answer: requests.Response) -> list[tuple[str, dict[str, Any]]]:
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = []
    for event in answer.text.strip().split("\n\n"):
        name, data = event.split("\n")
        events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


def test_events_are_mistrals(segments_url: str, wav: bytes) -> None:
    fields = [("stream", "true"), ("timestamp_granularities", "segment")]
    events = events_of(post(segments_url, wav, fields=fields))
    assert [name for name, _ in events] == [
        *("transcription.text.delta", "transcription.segment") * 2,
        "transcription.done",
    ]
    assert all(name == document["type"] for name, document in events)
    assert "".join(document["text"] for name, document in events if name == "transcription.text.delta") == (
        "One, two. Three."
    )
    assert events[-1][1]["text"] == "One, two. Three."
    assert events[-1][1]["usage"]["prompt_audio_seconds"] == 1


def test_the_last_event_of_a_failed_stream_is_the_error(serve: Serve, wav: bytes) -> None:
    url = serve(FakeTranscriber(segments=SEGMENTS, late_failure=EngineError("the model failed")))
    name, document = events_of(post(url, wav, fields=[("stream", "true")]))[-1]
    assert (name, document["message"]) == ("error", "the model failed")


@pytest.mark.parametrize(
    ("audio", "fields", "status", "message"),
    [
        (b"not audio", [], 415, "not audio"),
        (b"RIFF", [("diarize", "true")], 422, "diarize is 'true'"),
        (b"RIFF", [("nothing", "1")], 422, "there is no parameter 'nothing'"),
    ],
)
def test_errors_have_mistrals_form(
    url: str, audio: bytes, fields: list[tuple[str, str]], status: int, message: str
) -> None:
    answer = post(url, audio, fields=fields)
    assert (answer.status_code, answer.json()["object"]) == (status, "error")
    assert message in answer.json()["message"]


@pytest.mark.parametrize(
    ("header", "agent", "is_mistral"),
    [
        ("User-Agent", "mistral-client-python/2.4.4", True),
        ("User-Agent", "mistral-client-typescript/2.7.0", True),
        ("User-Agent", "speakeasy-sdk/python 3.7.0 2.935.1 1.0.0 mistralai", True),
        ("x-mistral-user-agent", "mistral-client-typescript/2.7.0", True),
        ("User-Agent", "OpenAI/Python 3.52.0", False),
        ("User-Agent", "curl/8.5.0", False),
    ],
)
def test_the_client_decides_who_answers(url: str, wav: bytes, header: str, agent: str, is_mistral: bool) -> None:
    body = post(url, wav, agent=agent, header=header).json()
    assert ("model" in body) == is_mistral
    assert (body["usage"].get("type") == "duration") != is_mistral


def test_the_real_model(server: Server, jfk: bytes) -> None:
    fields = [("diarize", "false"), ("stream", "false"), ("timestamp_granularities", "segment")]
    body = post(server.url, jfk, fields=fields).json()
    assert body["language"] == "en"
    assert body["segments"][-1]["text"].strip() == "ask what you can do for your country."
