"""DeepInfra's own Node client on the server with real weights: nothing but the URL is changed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tests.clients.running import run_client
from tests.clients.table import find_client
from tests.conftest import DATA
from tests.jobs.receiver import run_receiver
from tests.server import Server

JFK = DATA / "jfk.mp3"
GERMAN = DATA / "fleurs-de-005.ogg"
SPOKEN = "ask not what your country can do for you"
SEGMENT_FIELDS = {
    *("id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob"),
    *("compression_ratio", "no_speech_prob", "confidence"),
}


pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def answers(server: Server) -> dict[str, Any]:
    """What each call of node/deepinfra_calls.mjs came to, by its name."""
    client = find_client("deepinfra", 2, "npm")
    with run_receiver() as receiver:
        answers = run_client(client, server.url, str(JFK), str(GERMAN), receiver.url)
        answers["delivered"] = receiver.wait_for_document()
    return answers


def plain(text: str) -> str:
    return text.lower().replace(",", "").replace(".", "")


@pytest.mark.parametrize("name", ["path", "buffer", "url", "data_uri", "deployment"])
def test_audio_in_each_of_its_ways(answers: dict[str, Any], name: str) -> None:
    answer = answers[name]
    assert SPOKEN in plain(answer["text"])
    assert (answer["language"], answer["input_length_ms"]) == ("en", pytest.approx(11_000, abs=100))
    assert answer["request_id"]
    assert answer["inference_status"]["status"] == "succeeded"
    assert answer["inference_status"]["runtime_ms"] > 0
    assert answer["inference_status"]["tokens_generated"] > 20
    for segment in answer["segments"]:
        assert set(segment) == SEGMENT_FIELDS
        assert 0.3 < segment["confidence"] < 1


def test_a_buffer_of_more_than_a_megabyte(answers: dict[str, Any]) -> None:
    assert answers["large_buffer"]["input_length_ms"] == 34_000
    assert answers["large_buffer"]["text"] == ""


def test_a_translation(answers: dict[str, Any]) -> None:
    assert "animals" in plain(answers["translation"]["text"])
    assert answers["translation"]["language"] == "de"


def test_every_field_at_once(answers: dict[str, Any]) -> None:
    answer = answers["everything"]
    assert "country" in plain(answer["text"])
    assert len(answer["segments"]) >= 3
    for segment in answer["segments"]:
        assert round(segment["end"] - segment["start"], 2) <= 5
        assert segment["words"]
        assert all(0 < word["confidence"] <= 1 for word in segment["words"])
    in_segments = [word for segment in answer["segments"] for word in segment["words"]]
    assert [word["text"] for word in answer["words"]] == [word["text"] for word in in_segments]
    assert " ".join(word["text"] for word in answer["words"]) == " ".join(answer["text"].split())
    assert all(left["start"] <= right["start"] for left, right in pairwise(answer["words"]))


def test_a_webhook(answers: dict[str, Any]) -> None:
    assert answers["webhook"]["inference_status"]["status"] == "queued"
    assert answers["delivered"]["request_id"] == answers["webhook"]["request_id"]
    assert answers["delivered"]["inference_status"]["status"] == "succeeded"
    assert answers["delivered"]["results"]["text"] == answers["buffer"]["text"]


def test_errors(answers: dict[str, Any]) -> None:
    for name, parameter in (("bad_temperature", "temperature"), ("hostile_webhook", "webhook")):
        assert answers[name]["status"] == 422
        (detail,) = answers[name]["body"]["detail"]
        assert detail["loc"] == ["body", parameter]
    assert answers["unknown_model"]["status"] == 404
    assert "allowed: openai/whisper-base" in answers["unknown_model"]["body"]["error"]
    assert answers["no_audio"]["status"] == 415
    assert "not audio" in answers["no_audio"]["body"]["error"]
