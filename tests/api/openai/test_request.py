"""JSON on OpenAI's paths, and requests as clients send them by default."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
import requests

from hf_asr_endpoint.types import TranscriptionOptions
from tests.api.conftest import make_wav
from tests.api.openai.test_routes import TEXT, TIMEOUT_S, TRANSCRIPTIONS, TRANSLATIONS, error_of
from tests.fakes import FakeTranscriber


def post_json(url: str, document: Any, path: str = TRANSCRIPTIONS) -> requests.Response:
    return requests.post(url + path, json=document, timeout=TIMEOUT_S)


def base64_of(content: bytes) -> str:
    return b64encode(content).decode()


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, TRANSLATIONS])
@pytest.mark.parametrize(
    "audio",
    [
        pytest.param(lambda audio: {"input_audio": {"data": audio, "format": "wav"}}, id="OpenRouter"),
        pytest.param(lambda audio: {"input_audio": {"format": "wav", "data": audio}}, id="format first"),
        pytest.param(lambda audio: {"input_audio": {"data": f"data:audio/wav;base64,{audio}"}}, id="data URL"),
        pytest.param(lambda audio: {"file": audio}, id="file"),
        pytest.param(lambda audio: {"file": f"data:audio/wav;base64,{audio}"}, id="file as a data URL"),
        pytest.param(lambda audio: {"audio": audio}, id="audio"),
    ],
)
def test_audio_in_json(url: str, wav: bytes, path: str, audio: Any) -> None:
    answer = post_json(url, {"model": "whisper-1", **audio(base64_of(wav))}, path)
    assert answer.json()["text"] == TEXT


def test_fields_in_json_are_those_of_a_form(url: str, wav: bytes, transcriber: FakeTranscriber) -> None:
    document = {
        "model": "openai/whisper-base",
        "input_audio": {"data": base64_of(wav), "format": "wav"},
        "languages": ["de", "en-US"],
        "temperature": 0.5,
        "response_format": "verbose_json",
        "timestamp_granularities": ["word", "segment"],
        "keywords": ["Smith, John", "[sic]"],
        "prompt": None,
        "stream": False,
        "metadata": {"a": 1},
        "known_speaker_names": [],
        "chunking_strategy": {"type": "server_vad", "threshold": 0.25},
    }
    answer = post_json(url, document)
    assert answer.status_code == 200, answer.text
    assert {"words", "segments"} <= answer.json().keys()
    (options,) = transcriber.options
    assert options.languages == ("de", "en")
    assert options.decoding.temperatures == (0.5,)
    assert options.hotwords == "Smith, John, [sic]"
    assert options.voice_activity.threshold == 0.25


@pytest.mark.parametrize(
    ("document", "parameter", "message"),
    [
        ({"model": "whisper-1"}, "file", "file is missing; allowed: an audio file, or in JSON input_audio"),
        ({"input_audio": None}, "file", "file is missing"),
        ({"input_audio": {"format": "wav"}}, "file", "file is missing"),
        ({"input_audio": {"data": 5}}, "input_audio.data", "input_audio.data is 5"),
        (
            {"input_audio": {"data": "UklGRg==", "url": "x"}},
            "input_audio",
            "has the key 'url'; allowed: data, format",
        ),
        ({"input_audio": {"data": "UklGRg==", "format": "pcm16"}}, "input_audio", "have no header"),
        ({"input_audio": {"data": "UklGRg==", "format": 5}}, "input_audio", "allowed: a text, such as wav"),
        ({"input_audio": {"data": "AA=="}, "file": "AA=="}, "the audio (file)", "is given twice"),
        ({"file": "https://example.com/a.wav"}, None, "URLs are not opened"),
        ({"file": "a.wav"}, None, "not valid base64"),
        ({"file": "UklGRg==", "languages": [5, {"a": 1}]}, "languages", "allowed: a list of texts"),
        ({"file": "UklGRg==", "language": ["de"]}, "language", "language is"),
        ({"file": "UklGRg==", "promt": "x"}, "promt", "did you mean 'prompt'"),
        ([1], None, "the JSON body is [1]; allowed: an object with input_audio"),
    ],
)
def test_bad_json_is_400(url: str, document: Any, parameter: str | None, message: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = requests.post(url + TRANSCRIPTIONS, data=json.dumps(document), headers=headers, timeout=TIMEOUT_S)
    error = error_of(answer, 400)
    assert message in error["message"]
    assert error["param"] == parameter


def test_base64_above_the_limit_is_413(url: str) -> None:
    error_of(post_json(url, {"input_audio": {"data": base64_of(bytes(200_001))}}), 413)
    audio = make_wav((200_000 - 44) // 2)
    assert post_json(url, {"input_audio": {"data": base64_of(audio)}}).status_code == 200


@pytest.mark.parametrize("prefix", ["", "data:audio/wav;base64,"])
def test_the_file_of_a_form_may_be_base64(url: str, wav: bytes, prefix: str) -> None:
    files = {"file": (None, prefix + base64_of(wav)), "model": (None, "whisper-1")}
    assert requests.post(url + TRANSCRIPTIONS, files=files, timeout=TIMEOUT_S).json()["text"] == TEXT


def test_fields_may_be_sent_as_files(url: str, wav: bytes, transcriber: FakeTranscriber) -> None:
    files = {"file": ("a.wav", wav), "model": ("blob", b"whisper-1"), "language": ("blob", b"de", "text/plain")}
    assert requests.post(url + TRANSCRIPTIONS, files=files, timeout=TIMEOUT_S).json()["text"] == TEXT
    assert transcriber.options[0].language == "de"


VERBOSE = ("response_format", "verbose_json")
CLIENT_DEFAULTS = [
    pytest.param(TRANSCRIPTIONS, [], id="Azure: the file alone"),
    pytest.param(
        TRANSCRIPTIONS,
        [("model", "whisper-1"), VERBOSE, ("temperature", "0"), ("timestamp_granularities[]", "segment")],
        id="AI SDK",
    ),
    pytest.param(
        TRANSCRIPTIONS,
        [("response_format", "json"), ("temperature", "0"), ("timestamp_granularities[]", "segment")],
        id="AI SDK for gpt-4o-transcribe",
    ),
    pytest.param(TRANSCRIPTIONS, [("model", "whisper-1"), VERBOSE], id="LiteLLM"),
    pytest.param(
        TRANSCRIPTIONS, [("model", "whisper-1"), ("user", "u"), ("metadata[a]", "b")], id="LiteLLM's labels"
    ),
    pytest.param(
        TRANSCRIPTIONS,
        [
            *(("language", "en"), ("response_format", "json"), ("temperature", "0.0")),
            *(("seed", "4419"), ("repetition_penalty", "1.3")),
        ],
        id="vLLM's example",
    ),
    pytest.param(
        TRANSLATIONS,
        [("language", "it"), ("stream", "True"), ("to_language", "en"), ("seed", "4419")],
        id="vLLM's example of a translation",
    ),
    pytest.param(
        TRANSCRIPTIONS,
        [
            *(("language", ""), ("prompt", ""), ("temperature", "0.0"), ("stream", "false")),
            *(("hotwords", ""), ("vad_filter", "true"), ("diarization", "false")),
        ],
        id="speaches",
    ),
    pytest.param(
        TRANSCRIPTIONS,
        [("model", "whisper-1"), ("response_format", "json"), ("word_timestamps", "true")],
        id="a recorder of meetings",
    ),
    pytest.param(TRANSCRIPTIONS, [VERBOSE, ("word_timestamps", "true"), ("detect_language", "true")], id="Sona"),
    pytest.param(
        TRANSCRIPTIONS,
        [("model", "whisper-1"), ("languages[]", "en"), ("prompt", ""), ("response_format", "json")],
        id="LiveKit for gpt-transcribe",
    ),
    pytest.param(
        TRANSCRIPTIONS, [("model", "whisper-1"), ("language", "en-US"), ("temperature", "0")], id="Pipecat"
    ),
    pytest.param(
        TRANSCRIPTIONS,
        [("diarize", "false"), ("stream", "false"), ("timestamp_granularities", "segment")],
        id="mistralai",
    ),
    pytest.param(
        TRANSCRIPTIONS,
        [
            ("language", "auto"),
            ("response_format", "json"),
            ("temperature", "0"),
            ("timestamp_granularities", "segment"),
        ],
        id="together",
    ),
    pytest.param(
        TRANSCRIPTIONS,
        [("temperature", "0.0"), ("temperature_inc", "0.2"), ("response_format", "json"), ("translate", "false")],
        id="clients of whisper.cpp",
    ),
]


@pytest.mark.parametrize(("path", "fields"), CLIENT_DEFAULTS)
def test_a_clients_default_request_is_accepted(
    url: str, wav: bytes, path: str, fields: list[tuple[str, str]]
) -> None:
    answer = requests.post(url + path, files={"file": ("a.wav", wav)}, data=fields, timeout=TIMEOUT_S)
    assert answer.status_code == 200, answer.text
    assert TEXT in answer.text


def test_the_file_alone_has_the_default_options(url: str, wav: bytes, transcriber: FakeTranscriber) -> None:
    requests.post(url + TRANSCRIPTIONS, files={"file": ("a.wav", wav)}, timeout=TIMEOUT_S)
    assert transcriber.options == [TranscriptionOptions()]
