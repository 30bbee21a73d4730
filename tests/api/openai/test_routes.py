from __future__ import annotations

from typing import Any

import pytest
import requests

from hf_asr_endpoint.errors import AsrError, EngineError, EngineUnavailable, InvalidAudio, InvalidParameter
from tests.api.conftest import Serve, make_wav
from tests.fakes import FakeTranscriber, make_segment
from tests.openai_schema import check_schema

TIMEOUT_S = 10.0
TEXT = "16000 samples"
TRANSCRIPTIONS, TRANSLATIONS = "/v1/audio/transcriptions", "/v1/audio/translations"


def post(url: str, wav: bytes, path: str = TRANSCRIPTIONS, **fields: Any) -> requests.Response:
    form = {"model": "whisper-1", **fields}
    return requests.post(url + path, files={"file": ("a.wav", wav)}, data=form, timeout=TIMEOUT_S)


def error_of(answer: requests.Response, status: int) -> dict[str, Any]:
    """Return the error of a response, after checks of its schema and of the header about retries."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert (answer.headers.get("x-should-retry") == "false") is (status not in (408, 429, 503))
    assert answer.headers["x-request-id"]
    body = answer.json()
    check_schema(body, "ErrorResponse")
    assert list(body["error"]) == ["message", "type", "param", "code"]
    error: dict[str, Any] = body["error"]
    return error


def test_the_bodies_of_both_paths(url: str, wav: bytes, transcriber: FakeTranscriber) -> None:
    usage = {"type": "duration", "seconds": 1}
    assert post(url, wav).json() == {"text": TEXT, "usage": usage}
    assert post(url, wav, TRANSLATIONS).json() == {"text": TEXT}
    assert [options.task for options in transcriber.options] == ["transcribe", "translate"]


def test_the_model_is_listed_under_each_name(url: str) -> None:
    listed = requests.get(f"{url}/v1/models", timeout=TIMEOUT_S).json()
    check_schema(listed, "ListModelsResponse")
    names = [model["id"] for model in listed["data"]]
    assert names == ["openai/whisper-base", "whisper-base", "whisper-1"]
    for model in listed["data"]:
        assert requests.get(f"{url}/v1/models/{model['id']}", timeout=TIMEOUT_S).json() == model


@pytest.mark.parametrize("path", ["/v1/models/whisper-2", "/v1/openai/models/openai/whisper-1", "/models/x"])
def test_another_model_is_404(url: str, path: str) -> None:
    error = error_of(requests.get(url + path, timeout=TIMEOUT_S), 404)
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", "model", "model_not_found")


def test_a_transcription_by_another_model_is_404(url: str, wav: bytes) -> None:
    error = error_of(post(url, wav, model="gpt-4o-transcribe"), 404)
    assert error["code"] == "model_not_found"
    assert "allowed: openai/whisper-base, whisper-base, whisper-1" in error["message"]


def test_the_text_format_is_plain_text_in_utf_8(serve: Serve, wav: bytes) -> None:
    url = serve(FakeTranscriber(segments=[make_segment(" Grüße.", end=1.0)]))
    answer = post(url, wav, response_format="text")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.content == "Grüße.\n".encode()


@pytest.mark.parametrize(
    ("response_format", "media_type", "body"),
    [
        ("srt", "application/x-subrip", "1\n00:00:00,000 --> 00:00:01,500\nGrüße & Küsse.\n\n"),
        ("vtt", "text/vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nGrüße &amp; Küsse.\n\n"),
    ],
)
@pytest.mark.parametrize("path", [TRANSCRIPTIONS, TRANSLATIONS])
def test_subtitles_have_their_media_type(
    serve: Serve, wav: bytes, path: str, response_format: str, media_type: str, body: str
) -> None:
    url = serve(FakeTranscriber(segments=[make_segment(" Grüße & Küsse.", end=1.5)]))
    answer = post(url, wav, path, response_format=response_format)
    assert answer.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert answer.content == body.encode()


def test_verbose_json_follows_openais_schema(url: str, wav: bytes) -> None:
    body = post(url, wav, response_format="verbose_json", language="German").json()
    check_schema(body, "CreateTranscriptionResponseVerboseJson")
    assert (body["language"], body["duration"]) == ("german", 1.0)
    assert body["segments"][0]["text"] == f" {TEXT}"
    check_schema(
        post(url, wav, TRANSLATIONS, response_format="verbose_json").json(), "CreateTranslationResponseVerboseJson"
    )


@pytest.mark.parametrize("size", [16_000, 95_000], ids=["in memory", "near the limit"])
def test_a_file_without_filename_is_transcribed(url: str, size: int) -> None:
    files = {"model": (None, "whisper-1"), "file": (None, make_wav(size))}
    answer = requests.post(url + TRANSCRIPTIONS, files=files, timeout=TIMEOUT_S)
    assert answer.json()["text"] == f"{size} samples"


def test_a_large_file_without_filename_is_transcribed(serve: Serve, transcriber: FakeTranscriber) -> None:
    """Larger than a part or a body that is kept in memory."""
    url = serve(transcriber, openai_max_audio_bytes=5_000_000, max_audio_s=600.0)
    files = {"file": (None, make_wav(2_000_000)), "model": (None, "whisper-1")}
    answer = requests.post(url + TRANSCRIPTIONS, files=files, timeout=TIMEOUT_S)
    assert answer.json()["text"] == "2000000 samples"


def test_parameters_reach_the_transcriber(url: str, wav: bytes, transcriber: FakeTranscriber) -> None:
    fields = {
        "language": "de",
        "prompt": "Guten Tag",
        "temperature": "0.5",
        "timestamp_granularities[]": ["word", "segment"],
        "chunking_strategy[type]": "server_vad",
    }
    assert post(url, wav, response_format="verbose_json", **fields).json()["words"] == []
    (options,) = transcriber.options
    assert (options.language, options.prompt, options.decoding.temperatures) == ("de", "Guten Tag", (0.5,))
    assert options.word_timestamps
    assert options.voice_activity.speech_pad_s == 0.3


@pytest.mark.parametrize(
    ("fields", "parameter", "code", "message"),
    [
        pytest.param({"temperature": "2"}, "temperature", "invalid_value", "from 0.001 to 1", id="range"),
        pytest.param({"language": "xx"}, "language", "invalid_value", "allowed", id="language"),
        pytest.param({"response_format": "diarized_json"}, "response_format", "unsupported_value", "", id="value"),
        pytest.param(
            {"include[]": "logprobs", "response_format": "text"},
            "response_format",
            "unsupported_value",
            "json",
            id="combination",
        ),
        pytest.param(
            {"known_speaker_names[]": "Ann"}, "known_speaker_names", "unsupported_parameter", "", id="unsupported"
        ),
        pytest.param({"diarize": "true"}, "diarize", "unsupported_value", "speakers are not", id="not done"),
        pytest.param({"language": "ga"}, "language", "unsupported_value", "Irish", id="no model has it"),
        pytest.param({"lang": "de"}, "lang", "unknown_parameter", "allowed: file, model", id="unknown"),
    ],
)
def test_bad_parameters_are_400(
    url: str, wav: bytes, fields: dict[str, str], parameter: str, code: str, message: str
) -> None:
    error = error_of(post(url, wav, **fields), 400)
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", parameter, code)
    assert message in error["message"]


@pytest.mark.parametrize(
    ("files", "parameter", "message"),
    [
        pytest.param({"model": (None, "whisper-1")}, "file", "file is missing", id="no file"),
        pytest.param({"file": ("a.wav", b""), "model": (None, "whisper-1")}, "file", "file is empty", id="empty"),
        pytest.param({"audio": ("a.wav", b"RIFF\xff")}, "audio", "allowed as a file: file", id="another name"),
        pytest.param({"file": ("a", b"a.wav"), "model": (None, "whisper-1")}, "file", "not audio", id="no audio"),
        pytest.param({"file": ("a", b"RIFF\4\0\0\0WAVE"), "model": (None, "whisper-1")}, "file", "wav", id="bad"),
    ],
)
def test_bad_files_are_400(url: str, files: dict[str, Any], parameter: str, message: str) -> None:
    error = error_of(requests.post(url + TRANSCRIPTIONS, files=files, timeout=TIMEOUT_S), 400)
    assert error["param"] == parameter
    assert message in error["message"]


def test_two_files_are_refused(url: str, wav: bytes) -> None:
    files = [("file", ("a.wav", wav)), ("file", ("b.wav", wav))]
    answer = requests.post(url + TRANSCRIPTIONS, files=files, data={"model": "whisper-1"}, timeout=TIMEOUT_S)
    assert "given twice" in error_of(answer, 400)["message"]


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        pytest.param(b'["model"]', "application/json", "allowed: an object with input_audio", id="a list"),
        pytest.param(b"model=whisper-1", "application/x-www-form-urlencoded", "not a multipart form", id="URL"),
        pytest.param(b"RIFF", "audio/wav", "not a multipart form", id="raw audio"),
        pytest.param(b"", "multipart/form-data; boundary=x", "body is empty", id="empty"),
        pytest.param(b"--x\r\nContent-Disp", "multipart/form-data; boundary=x", "breaks off", id="cut off"),
    ],
)
def test_incomplete_forms_and_other_bodies_are_400(url: str, body: bytes, content_type: str, message: str) -> None:
    headers = {"Content-Type": content_type}
    answer = requests.post(url + TRANSCRIPTIONS, data=body, headers=headers, timeout=TIMEOUT_S)
    assert message in error_of(answer, 400)["message"]


@pytest.mark.parametrize("n_bytes", [200_001, 2_000_000], ids=["as a file", "as a body"])
def test_a_file_above_the_limit_is_413_in_openais_words(url: str, n_bytes: int) -> None:
    error = error_of(post(url, bytes(n_bytes)), 413)
    assert error["message"].startswith("Maximum content size limit (200000) exceeded (")
    assert error["message"].endswith(" bytes read)")
    assert (error["type"], error["param"], error["code"]) == ("server_error", None, None)


def test_a_file_of_exactly_the_limit_is_accepted(url: str) -> None:
    wav = make_wav((200_000 - 44) // 2)
    assert len(wav) == 200_000
    assert post(url, wav).status_code == 200


def test_audio_above_the_time_limit_is_413(serve: Serve, wav: bytes) -> None:
    error = error_of(post(serve(FakeTranscriber(), max_audio_s=0.5), wav), 413)
    assert error["param"] == "file"
    assert "allowed: at most 0.5 s" in error["message"]


@pytest.mark.parametrize(
    ("failure", "status", "kind", "parameter"),
    [
        (InvalidParameter("language is 'yue'", parameter="language"), 400, "invalid_request_error", "language"),
        (InvalidAudio("broken"), 400, "invalid_request_error", "file"),
        (EngineError("the model failed: OutOfMemoryError"), 500, "server_error", None),
        (EngineUnavailable("the server is shutting down"), 503, "server_error", None),
    ],
)
def test_failures_of_the_transcriber_have_their_status(
    serve: Serve, wav: bytes, failure: AsrError, status: int, kind: str, parameter: str | None
) -> None:
    error = error_of(post(serve(FakeTranscriber(failure=failure)), wav), status)
    assert (error["message"], error["type"], error["param"]) == (str(failure), kind, parameter)


def test_a_bug_is_500_in_openais_format(serve: Serve, wav: bytes) -> None:
    error = error_of(post(serve(FakeTranscriber(failure=ZeroDivisionError())), wav), 500)
    assert error["message"].startswith("the server failed")


def test_an_english_only_model_refuses_to_translate(serve: Serve, wav: bytes) -> None:
    failure = InvalidParameter("task is 'translate', but the model is English-only", parameter="task")
    error = error_of(post(serve(FakeTranscriber(failure=failure)), wav, TRANSLATIONS), 400)
    assert "English-only and cannot translate; allowed: /v1/audio/transcriptions" in error["message"]


def test_a_task_that_the_path_contradicts_is_refused_by_name(url: str, wav: bytes) -> None:
    """The field `task` was taken for the refusal of an English-only model."""
    error = error_of(post(url, wav, TRANSLATIONS, task="transcribe"), 400)
    assert error["param"] == "task"
    assert "English-only" not in error["message"]


def test_too_many_requests_are_429_with_the_time_to_try_again(serve: Serve, wav: bytes) -> None:
    answer = post(serve(FakeTranscriber(), max_concurrent_requests=0), wav)
    assert error_of(answer, 429)["code"] == "rate_limit_exceeded"
    assert int(answer.headers["retry-after"]) > 0


def test_the_path_v1_belongs_to_the_hugging_face_task(url: str, wav: bytes) -> None:
    assert requests.post(f"{url}/v1", data=wav, timeout=TIMEOUT_S).json() == {"text": TEXT}
