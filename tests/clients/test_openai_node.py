"""OpenAI's own Node client on the server with real weights: nothing but `baseURL` is changed."""

from __future__ import annotations

import io
from typing import Any

import pytest
import srt
import webvtt

from tests.clients.running import run_client
from tests.clients.table import find_client
from tests.conftest import DATA, MODEL_NAMES
from tests.openai_schema import check_schema
from tests.server import Server

JFK = DATA / "jfk.mp3"
JFK_S = 11.0
GERMAN = DATA / "fleurs-de-005.ogg"
SPOKEN = "ask not what your country can do for you"


pytestmark = pytest.mark.clients


@pytest.fixture(scope="module", params=[7, 6], ids=lambda major: f"openai-{major}")
def answers(request: pytest.FixtureRequest, server: Server) -> dict[str, Any]:
    """What each call of node/openai_calls.mjs came to, by its name."""
    return run_client(find_client("openai", request.param, "npm"), f"{server.url}/v1", str(JFK), str(GERMAN))


def plain(text: str) -> str:
    return text.lower().replace(",", "").replace(".", "")


@pytest.mark.parametrize("name", ["json", "bytes_without_a_name", "azure"])
def test_json(answers: dict[str, Any], name: str) -> None:
    check_schema(answers[name], "CreateTranscriptionResponseJson")
    assert SPOKEN in plain(answers[name]["text"])
    assert answers[name]["usage"] == {"type": "duration", "seconds": 11}


def test_texts_of_every_kind_are_the_same_text(answers: dict[str, Any]) -> None:
    text = answers["json"]["text"]
    assert answers["text"] == f"{text}\n"
    subrip = [cue.content for cue in srt.parse(answers["srt"], ignore_errors=False)]
    vtt = [cue.text for cue in webvtt.from_buffer(io.StringIO(answers["vtt"]))]
    assert subrip == vtt
    assert " ".join(subrip).split() == text.split()


def test_verbose_json_with_words_and_segments(answers: dict[str, Any]) -> None:
    verbose = answers["verbose_json"]
    check_schema(verbose, "CreateTranscriptionResponseVerboseJson")
    assert (verbose["language"], verbose["duration"]) == ("english", pytest.approx(JFK_S, abs=0.1))
    assert SPOKEN in plain(verbose["text"])
    assert "".join(segment["text"] for segment in verbose["segments"]).strip() == verbose["text"]
    assert [word["word"].strip() for word in verbose["words"]] == verbose["text"].split()
    for parts in (verbose["segments"], verbose["words"]):
        times = [part[edge] for part in parts for edge in ("start", "end")]
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] <= verbose["duration"]


def test_a_stream(answers: dict[str, Any]) -> None:
    *deltas, done = answers["stream"]
    for event in answers["stream"]:
        check_schema(event, "CreateTranscriptionResponseStreamEvent")
    assert {event["type"] for event in deltas} == {"transcript.text.delta"}
    assert done["type"] == "transcript.text.done"
    assert "".join(event["delta"] for event in deltas) == done["text"] == answers["json"]["text"]
    assert "".join(token["token"] for token in done["logprobs"]).strip() == done["text"]


def test_languages(answers: dict[str, Any]) -> None:
    assert SPOKEN in plain(answers["languages"]["result"]["text"])


def test_translations(answers: dict[str, Any]) -> None:
    check_schema(answers["translation"], "CreateTranslationResponseJson")
    check_schema(answers["verbose_translation"], "CreateTranslationResponseVerboseJson")
    assert "animals" in plain(answers["translation"]["text"])
    assert answers["verbose_translation"]["text"] == answers["translation"]["text"]
    assert answers["verbose_translation"]["language"] == "english"


def test_models(answers: dict[str, Any]) -> None:
    names = [model["id"] for model in answers["models"]]
    assert names[0] == "openai/whisper-base"
    assert {"whisper-1", *MODEL_NAMES} <= set(names)
    by_name = {model["id"]: model for model in answers["models"]}
    assert answers["models_by_name"] == [by_name["whisper-1"], by_name["openai/whisper-base"]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bad_temperature", ("BadRequestError", 400, "temperature", "invalid_value")),
        ("unknown_model", ("NotFoundError", 404, "model", "model_not_found")),
        ("unknown_model_by_name", ("NotFoundError", 404, "model", "model_not_found")),
        ("wrong_path", ("NotFoundError", 404, None, "unknown_url")),
        ("no_audio", ("BadRequestError", 400, "file", None)),
        ("too_large", ("APIError", 413, None, None)),
    ],
)
def test_errors_are_the_clients_own(
    answers: dict[str, Any], name: str, expected: tuple[str, int, str | None, str | None]
) -> None:
    error = answers[name]
    assert (error["class"], error["status"], error["param"], error["code"]) == expected
    assert error["message"].startswith(f"{expected[1]} ")
    assert error["request_id"]
