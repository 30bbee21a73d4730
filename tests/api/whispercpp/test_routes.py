"""whisper.cpp's path over a socket, and with the real model."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from hf_asr_endpoint.api.whispercpp.parameters import parse_parameters
from hf_asr_endpoint.api.whispercpp.render import render_body
from hf_asr_endpoint.subtitles.limits import CueLimits
from hf_asr_endpoint.types import Transcription, Word
from tests.api.conftest import Serve
from tests.fakes import FakeTranscriber, make_segment
from tests.server import Server

TIMEOUT_S = 60
SEGMENTS = [make_segment(" One, two.", end=1.0, tokens=(1, 2)), make_segment(" Three.", start=1.0, end=2.0)]


def post(url: str, audio: bytes, **fields: str) -> requests.Response:
    return requests.post(f"{url}/inference", data=fields, files={"file": ("a.wav", audio)}, timeout=TIMEOUT_S)


@pytest.fixture
def segments_url(serve: Serve) -> str:
    return serve(FakeTranscriber(segments=SEGMENTS))


@pytest.mark.parametrize(
    ("response_format", "media_type", "body"),
    [
        ("text", "text/plain", " One, two.\n Three.\n"),
        ("srt", "application/x-subrip", "1\n00:00:00,000 --> 00:00:01,000\nOne, two.\n\n"),
        ("vtt", "text/vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nOne, two.\n\n"),
        ("tsv", "text/tab-separated-values", "start\tend\ttext\n0\t1000\tOne, two.\n"),
        ("json", "application/json", '{"text":" One, two.\\n Three.\\n"}'),
    ],
)
def test_each_format_is_whisper_cpps(
    segments_url: str, wav: bytes, response_format: str, media_type: str, body: str
) -> None:
    answer = post(segments_url, wav, response_format=response_format)
    assert answer.status_code == 200
    assert answer.text.startswith(body)
    assert answer.headers["content-type"].split(";")[0] == media_type


def verbose(**fields: str) -> dict[str, Any]:
    words = [Word(word=" Hallo.", start=0.0, end=0.5, probability=0.75)]
    transcription = Transcription(
        task="transcribe",
        language="de",
        language_probability=0.9,
        duration_s=2.0,
        segments=(make_segment(" Hallo.", end=1.0, tokens=(7,), words=words),),
    )
    parameters = parse_parameters([("response_format", "verbose_json"), *fields.items()])
    body = render_body(transcription, parameters, CueLimits())
    assert isinstance(body, dict)
    return body


def test_verbose_json_shows_all_that_is_known() -> None:
    assert verbose() == {
        "task": "transcribe",
        "language": "german",
        "duration": 2.0,
        "text": " Hallo.\n",
        "segments": [
            {
                "id": 0,
                "text": " Hallo.",
                "start": 0.0,
                "end": 1.0,
                "words": [{"word": " Hallo.", "start": 0.0, "end": 0.5, "probability": 0.75}],
                "tokens": [7],
                "temperature": 0.0,
                "avg_logprob": -0.25,
                "no_speech_prob": 0.125,
            }
        ],
        "detected_language": "german",
        "detected_language_probability": 0.9,
        "language_probabilities": {"de": 0.9},
    }


def test_verbose_json_leaves_out_what_is_not_wanted() -> None:
    assert "detected_language" not in verbose(no_language_probabilities="true")
    (segment,) = verbose(no_timestamps="true")["segments"]
    assert not {"start", "end"} & set(segment)
    assert "start" not in segment["words"][0]
    (segment,) = verbose(token_timestamps="false")["segments"]
    assert segment["start"] == 0.0
    assert "start" not in segment["words"][0]


@pytest.mark.parametrize(
    ("fields", "audio", "status", "message"),
    [
        ({"diarize": "true"}, b"RIFF", 400, "diarize is 'true'"),
        ({"nothing": "1"}, b"RIFF", 400, "there is no parameter 'nothing'"),
        ({}, b"not audio", 400, "not audio"),
    ],
)
def test_errors_are_a_sentence(url: str, fields: dict[str, str], audio: bytes, status: int, message: str) -> None:
    answer = post(url, audio, **fields)
    assert answer.status_code == status
    assert message in answer.json()["error"]


def test_a_form_without_a_file_is_refused(url: str) -> None:
    answer = requests.post(f"{url}/inference", files={"language": (None, "de")}, timeout=TIMEOUT_S)
    assert (answer.status_code, answer.json()) == (400, {"error": "file is missing; allowed: an audio file"})


def test_the_example_of_whisper_cpps_documentation(server: Server, jfk: bytes) -> None:
    fields = {"temperature": "0.0", "temperature_inc": "0.2"}
    body = post(server.url, jfk, response_format="json", **fields).json()
    assert "ask not what your country can do for you" in body["text"]
    body = post(server.url, jfk, response_format="verbose_json", **fields).json()
    assert (body["task"], body["language"]) == ("transcribe", "english")
    assert body["segments"][0]["words"][0]["word"] == " And"
