from __future__ import annotations

from hf_asr_endpoint.api.errors import MAX_HEADER_CHARACTERS
from hf_asr_endpoint.api.huggingface.render import render_error, render_transcription
from hf_asr_endpoint.types import Transcription
from tests.fakes import make_segment

TRANSCRIPTION = Transcription(
    task="transcribe",
    language="en",
    duration_s=4.0,
    segments=(
        make_segment(" One two.", start=0.0, end=1.5),
        make_segment(" Three.", start=1.5, end=3.25),
    ),
)


def test_text_alone() -> None:
    assert render_transcription(TRANSCRIPTION, return_timestamps=False) == {"text": "One two. Three."}


def test_chunks_have_times_as_numbers_and_join_to_the_text() -> None:
    body = render_transcription(TRANSCRIPTION, return_timestamps=True)
    assert body["chunks"] == [
        {"text": " One two.", "timestamp": [0.0, 1.5]},
        {"text": " Three.", "timestamp": [1.5, 3.25]},
    ]
    assert "".join(chunk["text"] for chunk in body["chunks"]).strip() == body["text"]


def test_silence_has_no_chunks() -> None:
    silence = Transcription(task="transcribe", language="en", duration_s=1.0, segments=())
    assert render_transcription(silence, return_timestamps=True) == {"text": "", "chunks": []}


def test_an_error_goes_into_body_and_header() -> None:
    body, headers = render_error("wrong:\n'é' \N{CJK UNIFIED IDEOGRAPH-4E2D}")
    assert body == {"error": "wrong:\n'é' \N{CJK UNIFIED IDEOGRAPH-4E2D}"}
    assert headers == {"X-Error-Message": "wrong: '\\xe9' \\u4e2d"}


def test_an_error_with_what_neither_body_nor_header_can_hold() -> None:
    body, headers = render_error("half a pair \ud800, nul \0, delete \x7f")
    assert body["error"].encode() == b"half a pair \\ud800, nul \x00, delete \x7f"
    assert headers["X-Error-Message"] == "half a pair \\ud800, nul ?, delete ?"


def test_a_long_error_is_whole_in_the_body_and_cut_in_the_header() -> None:
    body, headers = render_error("x" * 10_000)
    assert len(body["error"]) == 10_000
    assert len(headers["X-Error-Message"]) == MAX_HEADER_CHARACTERS
