from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from hf_asr_endpoint.api.deepinfra.errors import ERROR_FORMAT
from hf_asr_endpoint.api.deepinfra.render import Work, render_transcription
from hf_asr_endpoint.errors import (
    AsrError,
    InvalidAudio,
    InvalidParameter,
    MissingParameter,
    UnknownModel,
    UnknownParameter,
    UnsupportedValue,
)
from hf_asr_endpoint.types import DecodedWindow, Transcription, Word
from tests.fakes import make_segment

WORDS = (
    Word(word=" How", start=0.1, end=0.5, probability=0.9),
    Word(word=" are", start=0.5, end=0.8, probability=0.8),
)
SECOND = replace(
    make_segment(" Grüße.", start=31.0, end=32.5, tokens=(50364, 7, 50439)),
    window=DecodedWindow(
        start=30.25, temperature=0.2, avg_logprob=-0.5, compression_ratio=1.5, no_speech_prob=0.01
    ),
)
TRANSCRIPTION = Transcription(
    task="transcribe",
    language="yue",
    duration_s=32.625,
    segments=(make_segment(" How are", start=0.1, end=0.8, words=WORDS, tokens=(1, 2)), SECOND),
)
WORK = Work(request_id="R1", runtime_s=1.2345, price_per_s=0.0001)


def test_a_detected_language_has_its_probability_and_other_segments_their_language() -> None:
    first, second = TRANSCRIPTION.segments
    transcription = replace(
        TRANSCRIPTION,
        language_probability=0.75,
        segments=(replace(first, language="yue"), replace(second, language="de")),
    )
    body = render_transcription(transcription, WORK, shows_words=False)
    assert (body["language"], body["language_probability"]) == ("yue", 0.75)
    assert [segment.get("language") for segment in body["segments"]] == [None, "de"]


def test_the_body_of_a_response() -> None:
    body = render_transcription(TRANSCRIPTION, WORK, shows_words=False)
    assert body == {
        "text": "How are Grüße.",
        "segments": body["segments"],
        "language": "yue",
        "input_length_ms": 32625,
        "duration": 32.625,
        "request_id": "R1",
        "inference_status": {
            "status": "succeeded",
            "runtime_ms": 1234,
            "cost": 0.0032625,
            "tokens_generated": 5,
            "tokens_input": 1632,
            "output_length": 14,
        },
    }
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
        "confidence": pytest.approx(math.exp(-0.5)),
    }
    assert json.loads(json.dumps(body)) == body


def test_words_appear_at_the_top_and_in_their_segments() -> None:
    body = render_transcription(TRANSCRIPTION, WORK, shows_words=True)
    assert body["words"] == [{"text": "How", "start": 0.1, "end": 0.5}, {"text": "are", "start": 0.5, "end": 0.8}]
    assert [segment["words"] for segment in body["segments"]] == [
        [
            {"text": "How", "start": 0.1, "end": 0.5, "confidence": 0.9},
            {"text": "are", "start": 0.5, "end": 0.8, "confidence": 0.8},
        ],
        [],
    ]


def test_silence() -> None:
    body = render_transcription(replace(TRANSCRIPTION, segments=()), WORK, shows_words=True)
    assert (body["text"], body["segments"], body["words"]) == ("", [], [])
    assert body["inference_status"]["tokens_generated"] == 0


@pytest.mark.parametrize(
    ("error", "location", "kind"),
    [
        (InvalidParameter("bad", parameter="temperature"), ["body", "temperature"], "value_error"),
        (UnsupportedValue("bad", parameter="audio"), ["body", "audio"], "value_error"),
        (UnknownParameter("bad", parameter="promt"), ["body", "promt"], "extra_forbidden"),
        (MissingParameter("bad", parameter="audio"), ["body", "audio"], "missing"),
        (InvalidParameter("bad"), ["body"], "value_error"),
    ],
)
def test_an_error_about_a_parameter_has_fastapis_format(error: AsrError, location: list[str], kind: str) -> None:
    assert ERROR_FORMAT.body_of(error) == {"detail": [{"loc": location, "msg": "bad", "type": kind}]}


@pytest.mark.parametrize("error", [UnknownModel("bad"), InvalidAudio("bad")])
def test_any_other_error_has_a_sentence(error: AsrError) -> None:
    assert ERROR_FORMAT.body_of(error) == {"error": "bad"}


def test_half_a_surrogate_pair_is_escaped_in_an_error() -> None:
    body = ERROR_FORMAT.body_of(UnknownParameter("no \ud800", parameter="\ud800"))
    assert body["detail"][0]["msg"] == "no \\ud800"
    assert body["detail"][0]["loc"] == ["body", "\\ud800"]
