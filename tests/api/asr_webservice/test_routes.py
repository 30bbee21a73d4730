"""whisper-asr-webservice's paths over a socket, and with the real model as Bazarr uses them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import requests
import srt

from hf_asr_endpoint.api.asr_webservice.render import render_language
from hf_asr_endpoint.types import Transcription, Waveform, Word
from tests.api.conftest import Serve
from tests.fakes import FakeTranscriber, make_segment
from tests.server import Server

TIMEOUT_S = 60
WORDS = [
    Word(word=" One,", start=0.0, end=0.4, probability=0.5),
    Word(word=" two.", start=0.5, end=1.0, probability=1.0),
]
SEGMENTS = [
    make_segment(" One, two.", end=1.0, tokens=(1, 2), words=WORDS),
    make_segment(" Three.", start=1.0, end=2.0),
]


def post(url: str, audio: bytes | tuple[str, bytes], path: str = "/asr", **query: str) -> requests.Response:
    return requests.post(url + path, params=query, files={"audio_file": audio}, timeout=TIMEOUT_S)


@pytest.fixture
def segments_url(serve: Serve) -> str:
    return serve(FakeTranscriber(segments=SEGMENTS))


@pytest.mark.parametrize(
    ("output", "body"),
    [
        ("txt", "One, two.\nThree.\n"),
        ("srt", "1\n00:00:00,000 --> 00:00:01,000\nOne, two.\n\n2\n00:00:01,000 --> 00:00:02,000\nThree.\n\n"),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nOne, two.\n\n00:00:01.000 --> 00:00:02.000\nThree.\n\n"),
        ("tsv", "start\tend\ttext\n0\t1000\tOne, two.\n1000\t2000\tThree.\n"),
    ],
)
def test_each_output_is_a_text_for_downloading(segments_url: str, wav: bytes, output: str, body: str) -> None:
    answer = post(segments_url, ("my film.wav", wav), output=output)
    assert answer.status_code == 200
    assert answer.text == body
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="my%20film.wav.{output}"'
    assert answer.headers["asr-engine"] == "openai_whisper"


@pytest.mark.parametrize("has_words", [False, True])
def test_json_is_that_of_openai_whisper(segments_url: str, wav: bytes, has_words: bool) -> None:
    answer = post(segments_url, wav, output="json", word_timestamps=str(has_words).lower())
    body = json.loads(answer.text)
    assert (body["text"], body["language"]) == (" One, two. Three.", "en")
    first = body["segments"][0]
    assert (first["id"], first["start"], first["end"], first["tokens"]) == (0, 0.0, 1.0, [1, 2])
    words = [
        {"word": " One,", "start": 0.0, "end": 0.4, "probability": 0.5},
        {"word": " two.", "start": 0.5, "end": 1.0, "probability": 1.0},
    ]
    assert first.get("words") == (words if has_words else None)


def test_without_encode_samples_have_no_header(url: str) -> None:
    samples = np.zeros(16_000, dtype="<i2").tobytes()
    assert post(url, samples, encode="false").text == "16000 samples\n"
    assert "not audio" in post(url, samples).text


@pytest.mark.parametrize(
    ("query", "files", "status", "detail"),
    [
        ({"task": "sing"}, {"audio_file": b"RIFF"}, 422, ["query", "task"]),
        ({"nothing": "1"}, {"audio_file": b"RIFF"}, 422, ["query", "nothing"]),
        ({"diarize": "true"}, {"audio_file": b"RIFF"}, 422, ["query", "diarize"]),
        ({}, {"file": b"RIFF"}, 422, ["query", "file"]),
        ({}, {"other": (None, "text")}, 422, ["query", "other"]),
        ({}, {"audio_file": b"not audio"}, 415, "not audio"),
        ({}, None, 400, "the body is empty"),
    ],
)
def test_errors_have_fastapis_form(
    url: str, query: dict[str, str], files: dict[str, Any] | None, status: int, detail: list[str] | str
) -> None:
    answer = requests.post(f"{url}/asr", params=query, files=files, timeout=TIMEOUT_S)
    assert answer.status_code == status
    given = answer.json()["detail"]
    if isinstance(detail, str):
        assert detail in given
    else:
        assert given[0]["loc"] == detail
        assert set(given[0]) == {"type", "loc", "msg"}


def test_a_form_without_the_file_names_it(url: str) -> None:
    answer = requests.post(f"{url}/asr", data={}, files={"audio_file": b""}, timeout=TIMEOUT_S)
    assert answer.json()["detail"][0]["loc"] == ["body", "audio_file"]


def test_a_get_is_refused_in_the_same_form(url: str) -> None:
    answer = requests.get(f"{url}/asr", timeout=TIMEOUT_S)
    assert (answer.status_code, "allowed: POST" in answer.json()["detail"]) == (405, True)


@pytest.mark.parametrize(("probability", "confidence"), [(0.98, 0.98), (None, 0.0)])
def test_the_language_has_its_name_and_code(probability: float | None, confidence: float) -> None:
    transcription = Transcription(
        task="transcribe", language="haw", language_probability=probability, duration_s=1.0, segments=()
    )
    assert render_language(transcription) == {
        "detected_language": "hawaiian",
        "language_code": "haw",
        "confidence": confidence,
    }


def test_the_language_alone_is_asked_for(serve: Serve, wav: bytes) -> None:
    fake = FakeTranscriber()
    answer = post(serve(fake), wav, path="/detect-language")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["language_code"] == "en"
    assert fake.options[0].detects_language_only


def test_bazarrs_requests(server: Server, speech: Waveform) -> None:
    """As `custom_libs/subliminal_patch/providers/whisperai.py` sends them: headerless samples, no file name."""
    samples = (speech * 32_767).astype("<i2").tobytes()
    detected = post(server.url, samples, path="/detect-language", encode="false").json()
    assert (detected["language_code"], detected["detected_language"]) == ("en", "english")
    query = {"task": "transcribe", "language": "en", "output": "srt", "encode": "false"}
    answer = post(server.url, samples, **query)
    assert answer.status_code == 200
    cues = [cue.content.replace("\n", " ") for cue in srt.parse(answer.text)]
    assert len(cues) > 1
    assert "not what your country can do for you," in " ".join(cues)
    assert answer.content.startswith(b"1\n00:00:0")
