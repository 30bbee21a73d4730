"""`return_timestamps: "word"`, from the parameters to the answer."""

from __future__ import annotations

from typing import Any

import pytest

from hf_asr_endpoint.api.huggingface.parameters import parse_parameters, parse_query
from hf_asr_endpoint.api.huggingface.render import render_transcription
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.types import Transcription, Word
from tests.fakes import make_segment

WORDS = [
    Word(word=" One", start=0.25, end=0.5, probability=0.9),
    Word(word=" two.", start=0.5, end=1.25, probability=0.8),
    Word(word=" Three.", start=1.5, end=3.0, probability=0.7),
]


def test_words_are_asked_for() -> None:
    for parsed in (parse_parameters({"return_timestamps": "word"}), parse_query([("return_timestamps", "word")])):
        assert parsed.return_timestamps == "word"
        assert parsed.options.word_timestamps is True


@pytest.mark.parametrize("value", [True, False, None])
def test_words_are_not_looked_for_unless_asked_for(value: bool | None) -> None:
    parsed = parse_parameters({"return_timestamps": value})
    assert parsed.return_timestamps is bool(value)
    assert parsed.options.word_timestamps is False


def test_another_text_is_refused() -> None:
    with pytest.raises(InvalidParameter, match=r'return_timestamps is "words"; allowed: true, false or "word"'):
        parse_parameters({"return_timestamps": "words"})


@pytest.mark.parametrize("generation", [{"temperature": 0.4, "top_k": 3}, {"num_beams": 5}])
def test_words_go_with_any_way_of_decoding(generation: dict[str, Any]) -> None:
    parameters = {"return_timestamps": "word", "generation_parameters": generation}
    assert parse_parameters(parameters).options.word_timestamps is True


def test_chunks_are_words_and_join_to_the_text() -> None:
    segments = (
        make_segment(" One two.", end=1.25, words=WORDS[:2]),
        make_segment(" Three.", start=1.5, end=3.25, words=WORDS[2:]),
    )
    transcription = Transcription(task="transcribe", language="en", duration_s=4.0, segments=segments)
    body = render_transcription(transcription, return_timestamps="word")
    assert body["chunks"] == [
        {"text": " One", "timestamp": [0.25, 0.5]},
        {"text": " two.", "timestamp": [0.5, 1.25]},
        {"text": " Three.", "timestamp": [1.5, 3.0]},
    ]
    assert "".join(chunk["text"] for chunk in body["chunks"]).strip() == body["text"]
    by_segment = render_transcription(transcription, return_timestamps=True)
    assert [chunk["text"] for chunk in by_segment["chunks"]] == [" One two.", " Three."]


def test_silence_has_no_words() -> None:
    silence = Transcription(task="transcribe", language="en", duration_s=1.0, segments=())
    assert render_transcription(silence, return_timestamps="word") == {"text": "", "chunks": []}
