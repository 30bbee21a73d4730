"""What clients show for a recording: every client's own default request, and what it offers beside."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tests.clients.conftest import OutcomesOf
from tests.clients.rows import (
    AI,
    AI_6,
    AI_7,
    DEEPINFRA,
    GROQ,
    HAYSTACK,
    HUGGINGFACE,
    HUGGINGFACE_NODE,
    LANGCHAIN,
    LITELLM,
    LLAMA_INDEX,
    MISTRAL,
    OPENAI_2,
    OPENAI_3,
    OPENAI_AGENTS,
    OPENAI_PYTHON,
    TOGETHER,
    row,
)
from tests.clients.table import Client

SPOKEN = "lobster not a lobster"
DURATION_S = 4.4

TRANSCRIPTS = [
    *[
        row(client, call)
        for client in OPENAI_PYTHON
        for call in ("default", "bytes", "opened", "text", "verbose_json")
    ],
    *[row(client, "azure_v1") for client in OPENAI_PYTHON],
    *[row(client, "doubled_slash") for client in OPENAI_PYTHON],
    *[row(client, "without_v1") for client in OPENAI_PYTHON],
    *[row(client, "azure") for client in OPENAI_PYTHON],
    *[row(client, "languages") for client in (OPENAI_3, OPENAI_2)],
    *[row(client, "one_of_languages") for client in (OPENAI_3, OPENAI_2)],
    *[row(GROQ, call) for call in ("default", "documented", "verbose_json")],
    *[row(MISTRAL, call) for call in ("default", "language", "segments")],
    row(TOGETHER, "default"),
    row(TOGETHER, "named"),
    row(TOGETHER, "verbose_json"),
    *[row(LITELLM, call) for call in ("openai", "openai_verbose_json", "openai_words", "openai_text")],
    *[row(LITELLM, call) for call in ("deepinfra", "deepinfra_verbose_json")],
    *[
        row(LITELLM, call)
        for provider in ("azure", "groq", "hosted_vllm")
        for call in (provider, f"{provider}_verbose_json")
    ],
    *[row(LANGCHAIN, call) for call in ("default", "language")],
    row(LANGCHAIN, "azure"),
    *[row(LLAMA_INDEX, call) for call in ("default", "bytes", "asynchronous")],
    *[row(HAYSTACK, call) for call in ("default", "byte_stream", "language")],
    *[row(OPENAI_AGENTS, call) for call in ("default", "language")],
    row(OPENAI_AGENTS, "languages"),
    *[row(HUGGINGFACE, call) for call in ("default", "bytes", "chunks")],
    *[row(HUGGINGFACE_NODE, call) for call in ("default", "typed", "model")],
    *[row(DEEPINFRA, call) for call in ("default",)],
    *[row(client, call) for client in AI for call in ("openai", "openai_gpt", "openai_words")],
    *[row(client, "openai_options") for client in AI],
    *[row(client, call) for client in AI for call in ("groq", "groq_verbose_json")],
]

SEGMENTS = [
    *[row(client, "verbose_json") for client in OPENAI_PYTHON],
    row(GROQ, "verbose_json"),
    row(MISTRAL, "segments"),
    row(TOGETHER, "verbose_json"),
    row(LITELLM, "openai_verbose_json"),
    *[row(LITELLM, f"{provider}_verbose_json") for provider in ("azure", "groq", "hosted_vllm")],
    row(DEEPINFRA, "default"),
    # Without options of its own, version 6 asks for json, which has no segments.
    *[row(client, "openai_words") for client in AI],
    row(AI_7, "openai"),
    *[row(client, "groq_verbose_json") for client in AI],
]

WORDS = [
    *[row(client, "verbose_json") for client in OPENAI_PYTHON],
    row(GROQ, "verbose_json"),
    row(TOGETHER, "verbose_json"),
    row(LITELLM, "openai_words"),
]

LANGUAGE = [
    *[row(client, "verbose_json", "english") for client in OPENAI_PYTHON],
    row(GROQ, "verbose_json", "english"),
    row(LITELLM, "openai_verbose_json", "english"),
    row(MISTRAL, "default", "en"),
    row(AI_7, "openai", "en"),
    row(AI_6, "openai_words", "en"),
    row(DEEPINFRA, "default", "en"),
]

TRANSLATIONS = [
    *[row(client, "translation") for client in OPENAI_PYTHON],
    *[row(client, "azure_translation") for client in OPENAI_PYTHON],
    row(GROQ, "translation"),
    row(TOGETHER, "translation"),
    row(DEEPINFRA, "translation"),
]


def result_of(outcome: dict[str, Any]) -> Any:
    assert "error" not in outcome, outcome["error"]
    return outcome["result"]


def text_of(result: Any) -> str:
    if isinstance(result, list):
        (result,) = result
    text = result if isinstance(result, str) else result["text"]
    return str(text).lower().replace(",", "").replace(".", "")


@pytest.mark.parametrize(("client", "call"), TRANSCRIPTS)
def test_a_recording_is_transcribed(outcomes_of: OutcomesOf, client: Client, call: str) -> None:
    assert SPOKEN in text_of(result_of(outcomes_of(client)[call]))


@pytest.mark.parametrize(("client", "call"), SEGMENTS)
def test_segments_lie_in_the_recording_in_order(outcomes_of: OutcomesOf, client: Client, call: str) -> None:
    result = result_of(outcomes_of(client)[call])
    segments = result["segments"]
    assert SPOKEN in text_of(" ".join(segment["text"].strip() for segment in segments))
    # The AI SDK's segments have names of their own.
    times = [segment.get(edge, segment.get(f"{edge}Second")) for segment in segments for edge in ("start", "end")]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= DURATION_S + 0.1


@pytest.mark.parametrize(("client", "call"), WORDS)
def test_words_lie_in_the_recording_in_order(outcomes_of: OutcomesOf, client: Client, call: str) -> None:
    words = result_of(outcomes_of(client)[call])["words"]
    assert SPOKEN in text_of(" ".join(word["word"].strip() for word in words))
    assert all(word["start"] < word["end"] <= DURATION_S + 0.1 for word in words)
    assert all(before["end"] <= after["start"] + 0.001 for before, after in pairwise(words))


@pytest.mark.parametrize(("client", "call", "language"), LANGUAGE)
def test_the_detected_language_in_the_dialects_spelling(
    outcomes_of: OutcomesOf, client: Client, call: str, language: str
) -> None:
    assert result_of(outcomes_of(client)[call])["language"] == language


@pytest.mark.parametrize(("client", "call"), TRANSLATIONS)
def test_a_translation_is_english(outcomes_of: OutcomesOf, client: Client, call: str) -> None:
    assert "animals" in text_of(result_of(outcomes_of(client)[call]))


@pytest.mark.parametrize(
    ("client", "call"),
    [
        *[row(client, call) for client in OPENAI_PYTHON for call in ("stream", "asynchronous_stream")],
    ],
)
def test_a_stream_ends_with_the_whole_text(outcomes_of: OutcomesOf, client: Client, call: str) -> None:
    *deltas, done = result_of(outcomes_of(client)[call])
    assert done["type"] == "transcript.text.done"
    assert "".join(event["delta"] for event in deltas) == done["text"]
    assert SPOKEN in text_of(done)


@pytest.mark.parametrize(("client", "call"), [row(MISTRAL, "stream")])
def test_mistrals_stream_ends_with_the_whole_text(outcomes_of: OutcomesOf, client: Client, call: str) -> None:
    events = [event["data"] for event in result_of(outcomes_of(client)[call])]
    deltas = [event["text"] for event in events if event["type"] == "transcription.text.delta"]
    assert events[-1]["type"] == "transcription.done"
    assert "".join(deltas) == events[-1]["text"]
    assert SPOKEN in text_of(events[-1])


@pytest.mark.parametrize(("client", "call"), [row(MISTRAL, "default")])
def test_mistrals_answer_has_model_and_usage(outcomes_of: OutcomesOf, client: Client, call: str) -> None:
    result = result_of(outcomes_of(client)[call])
    assert result["model"]
    assert result["usage"]["prompt_audio_seconds"] == pytest.approx(DURATION_S, abs=1)


@pytest.mark.parametrize(("client", "call"), [row(DEEPINFRA, "words")])
def test_deepinfras_words(outcomes_of: OutcomesOf, client: Client, call: str) -> None:
    result = result_of(outcomes_of(client)[call])
    words = [word for segment in result["segments"] for word in segment["words"]]
    assert SPOKEN in text_of(" ".join(word["text"] for word in words))


@pytest.mark.parametrize(("client", "call"), [row(LLAMA_INDEX, "german")])
def test_a_language_that_the_client_fixes(outcomes_of: OutcomesOf, client: Client, call: str) -> None:
    assert "dieses sediment" in text_of(result_of(outcomes_of(client)[call]))


@pytest.mark.parametrize(
    ("client", "call"),
    [*[row(client, "models") for client in OPENAI_PYTHON], row(GROQ, "models")],
)
def test_models_are_listed(outcomes_of: OutcomesOf, client: Client, call: str) -> None:
    names = {model["id"] for model in result_of(outcomes_of(client)[call])}
    assert {"openai/whisper-base", "whisper-1", "whisper-large-v3-turbo"} <= names
