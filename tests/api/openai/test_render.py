from __future__ import annotations

from dataclasses import replace

import pytest

from hf_asr_endpoint.api.openai.models import render_model
from hf_asr_endpoint.api.openai.render import render_json, render_verbose_json
from hf_asr_endpoint.types import DecodedWindow, TokenLogprob, Transcription, Word
from tests.fakes import make_segment
from tests.openai_schema import check_schema

WORDS = (
    Word(word=" How", start=0.1, end=0.5, probability=0.9),
    Word(word=" are", start=0.5, end=0.8, probability=0.8),
)
SECOND = replace(
    make_segment(" Grüße.", start=31.0, end=32.5, tokens=(50364, 7, 50439)),
    window=DecodedWindow(
        start=30.25, temperature=0.2, avg_logprob=-0.5, compression_ratio=1.5, no_speech_prob=0.01
    ),
    token_logprobs=(TokenLogprob(token=" Grü".encode()[:-1], logprob=-0.5), TokenLogprob(token=b"x", logprob=-1)),
)
TRANSCRIPTION = Transcription(
    task="transcribe",
    language="yue",
    duration_s=32.625,
    segments=(make_segment(" How are", start=0.1, end=0.8, words=WORDS), SECOND),
)
TRANSLATION = replace(TRANSCRIPTION, task="translate")
USAGE = {"type": "duration", "seconds": 33}


def test_json_has_text_and_usage() -> None:
    body = render_json(TRANSCRIPTION, shows_logprobs=False)
    assert body == {"text": "How are Grüße.", "usage": USAGE}
    check_schema(body, "CreateTranscriptionResponseJson")


def test_logprobs_have_the_bytes_of_split_characters() -> None:
    body = render_json(TRANSCRIPTION, shows_logprobs=True)
    assert body["logprobs"] == [
        {"token": " Gr\ufffd", "bytes": [32, 71, 114, 195], "logprob": -0.5},
        {"token": "x", "bytes": [120], "logprob": -1},
    ]
    check_schema(body, "CreateTranscriptionResponseJson")


def test_verbose_json_with_segments() -> None:
    body = render_verbose_json(TRANSCRIPTION, shows_segments=True, shows_words=False)
    assert list(body) == ["task", "language", "duration", "text", "segments", "usage"]
    assert body["language"] == "cantonese"
    assert body["duration"] == 32.625
    assert body["segments"][1] == {
        "id": 1,
        "seek": 3025,
        "start": 31.0,
        "end": 32.5,
        "text": " Grüße.",
        "tokens": [50364, 7, 50439],
        "temperature": 0.2,
        "avg_logprob": -0.5,
        "compression_ratio": 1.5,
        "no_speech_prob": 0.01,
    }
    check_schema(body, "CreateTranscriptionResponseVerboseJson")


@pytest.mark.parametrize("segments", [False, True])
def test_verbose_json_with_words(segments: bool) -> None:
    body = render_verbose_json(TRANSCRIPTION, shows_segments=segments, shows_words=True)
    assert body["words"] == [
        {"word": "How", "start": 0.1, "end": 0.5, "probability": WORDS[0].probability},
        {"word": "are", "start": 0.5, "end": 0.8, "probability": WORDS[1].probability},
    ]
    assert ("segments" in body) is segments
    check_schema(body, "CreateTranscriptionResponseVerboseJson")


def test_translations_have_only_openais_fields() -> None:
    short = render_json(TRANSLATION, shows_logprobs=False)
    assert short == {"text": "How are Grüße."}
    check_schema(short, "CreateTranslationResponseJson")
    verbose = render_verbose_json(TRANSLATION, shows_segments=True, shows_words=False)
    assert list(verbose) == ["task", "language", "duration", "text", "segments"]
    assert (verbose["task"], verbose["language"]) == ("translate", "english")
    check_schema(verbose, "CreateTranslationResponseVerboseJson")


DETECTED = replace(
    TRANSCRIPTION,
    language="de",
    language_probability=0.75,
    segments=(
        make_segment(" Guten Tag.", end=1.0, words=WORDS, language="de"),
        make_segment(" How are", start=1.0, end=2.0, language="en"),
        replace(SECOND, language=None),
    ),
)


def test_a_detected_language_has_its_probability_and_other_segments_their_language() -> None:
    body = render_verbose_json(DETECTED, shows_segments=True, shows_words=False)
    assert (body["language"], body["language_probability"]) == ("german", 0.75)
    assert [segment.get("language") for segment in body["segments"]] == [None, "english", None]
    check_schema(body, "CreateTranscriptionResponseVerboseJson")


def test_a_translation_is_english_throughout() -> None:
    body = render_verbose_json(replace(DETECTED, task="translate"), shows_segments=True, shows_words=False)
    assert body["language"] == "english"
    assert "language_probability" not in body
    assert not any("language" in segment for segment in body["segments"])


def test_verbose_json_with_logprobs() -> None:
    body = render_verbose_json(TRANSCRIPTION, shows_segments=True, shows_words=False, shows_logprobs=True)
    assert body["logprobs"] == render_json(TRANSCRIPTION, shows_logprobs=True)["logprobs"]
    check_schema(body, "CreateTranscriptionResponseVerboseJson")


def test_json_with_words() -> None:
    body = render_json(TRANSCRIPTION, shows_logprobs=False, shows_words=True)
    assert [word["word"] for word in body["words"]] == ["How", "are"]
    check_schema(body, "CreateTranscriptionResponseJson")


def test_silence_gives_empty_lists() -> None:
    silence = replace(TRANSCRIPTION, segments=())
    assert render_json(silence, shows_logprobs=True) == {"text": "", "logprobs": [], "usage": USAGE}
    body = render_verbose_json(silence, shows_segments=True, shows_words=True)
    assert (body["segments"], body["words"]) == ([], [])


def test_models_follow_openais_schema() -> None:
    names = ("openai/whisper-base", "whisper-1")
    entries = [render_model(name, created=1_700_000_000, state="ready") for name in names]
    body = {"object": "list", "data": entries}
    check_schema(body, "ListModelsResponse")
