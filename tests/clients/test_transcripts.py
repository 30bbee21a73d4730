"""What clients show for a recording: every client's own default request, and what it offers beside."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tests.clients.client import Client
from tests.clients.conftest import OutcomesOf
from tests.clients.table import case, cases, find_client

MISTRAL = find_client("mistralai", 3, "pypi")
DEEPINFRA = find_client("deepinfra", 0, "test extra")
LLAMA_INDEX = find_client("llama-index-readers-whisper", 0, "pypi")

SPOKEN = "lobster not a lobster"
DURATION_S = 4.4


def result_of(outcome: dict[str, Any]) -> Any:
    assert "error" not in outcome, outcome["error"]
    return outcome["result"]


def text_of(result: Any) -> str:
    if isinstance(result, list):
        (result,) = result
    text = result if isinstance(result, str) else result["text"]
    return str(text).lower().replace(",", "").replace(".", "")


@pytest.mark.parametrize(("client", "call"), cases(lambda calls: calls.transcripts))
def test_a_recording_is_transcribed(outcomes_of: OutcomesOf, client: Client, call: str) -> None:
    assert SPOKEN in text_of(result_of(outcomes_of(client)[call]))


@pytest.mark.parametrize(("client", "call"), cases(lambda calls: calls.segments))
def test_segments_lie_in_the_recording_in_order(outcomes_of: OutcomesOf, client: Client, call: str) -> None:
    result = result_of(outcomes_of(client)[call])
    segments = result["segments"]
    assert SPOKEN in text_of(" ".join(segment["text"].strip() for segment in segments))
    # The AI SDK's segments have names of their own.
    times = [segment.get(edge, segment.get(f"{edge}Second")) for segment in segments for edge in ("start", "end")]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= DURATION_S + 0.1


@pytest.mark.parametrize(("client", "call"), cases(lambda calls: calls.words))
def test_words_lie_in_the_recording_in_order(outcomes_of: OutcomesOf, client: Client, call: str) -> None:
    words = result_of(outcomes_of(client)[call])["words"]
    assert SPOKEN in text_of(" ".join(word["word"].strip() for word in words))
    assert all(word["start"] < word["end"] <= DURATION_S + 0.1 for word in words)
    assert all(before["end"] <= after["start"] + 0.001 for before, after in pairwise(words))


@pytest.mark.parametrize(("client", "call", "language"), cases(lambda calls: calls.languages))
def test_the_detected_language_in_the_dialects_spelling(
    outcomes_of: OutcomesOf, client: Client, call: str, language: str
) -> None:
    assert result_of(outcomes_of(client)[call])["language"] == language


@pytest.mark.parametrize(("client", "call"), cases(lambda calls: calls.translations))
def test_a_translation_is_english(outcomes_of: OutcomesOf, client: Client, call: str) -> None:
    assert "animals" in text_of(result_of(outcomes_of(client)[call]))


@pytest.mark.parametrize(("client", "call"), cases(lambda calls: calls.streams))
def test_a_stream_ends_with_the_whole_text(outcomes_of: OutcomesOf, client: Client, call: str) -> None:
    *deltas, done = result_of(outcomes_of(client)[call])
    assert done["type"] == "transcript.text.done"
    assert "".join(event["delta"] for event in deltas) == done["text"]
    assert SPOKEN in text_of(done)


@pytest.mark.parametrize(("client", "call"), [case(MISTRAL, "stream")])
def test_mistrals_stream_ends_with_the_whole_text(outcomes_of: OutcomesOf, client: Client, call: str) -> None:
    events = [event["data"] for event in result_of(outcomes_of(client)[call])]
    deltas = [event["text"] for event in events if event["type"] == "transcription.text.delta"]
    assert events[-1]["type"] == "transcription.done"
    assert "".join(deltas) == events[-1]["text"]
    assert SPOKEN in text_of(events[-1])


@pytest.mark.parametrize(("client", "call"), [case(MISTRAL, "default")])
def test_mistrals_answer_has_model_and_usage(outcomes_of: OutcomesOf, client: Client, call: str) -> None:
    result = result_of(outcomes_of(client)[call])
    assert result["model"]
    assert result["usage"]["prompt_audio_seconds"] == pytest.approx(DURATION_S, abs=1)


@pytest.mark.parametrize(("client", "call"), [case(DEEPINFRA, "words")])
def test_deepinfras_words(outcomes_of: OutcomesOf, client: Client, call: str) -> None:
    result = result_of(outcomes_of(client)[call])
    words = [word for segment in result["segments"] for word in segment["words"]]
    assert SPOKEN in text_of(" ".join(word["text"] for word in words))


@pytest.mark.parametrize(("client", "call"), [case(LLAMA_INDEX, "german")])
def test_a_language_that_the_client_fixes(outcomes_of: OutcomesOf, client: Client, call: str) -> None:
    assert "dieses sediment" in text_of(result_of(outcomes_of(client)[call]))


@pytest.mark.parametrize(("client", "call"), cases(lambda calls: calls.models))
def test_models_are_listed(outcomes_of: OutcomesOf, client: Client, call: str) -> None:
    names = {model["id"] for model in result_of(outcomes_of(client)[call])}
    assert {"openai/whisper-base", "whisper-1", "whisper-large-v3-turbo"} <= names
