from __future__ import annotations

from hf_asr_endpoint.api.huggingface.render import render_transcription
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


def test_the_body_is_the_text_alone_without_timestamps() -> None:
    assert render_transcription(TRANSCRIPTION, return_timestamps=False) == {"text": "One two. Three."}


def test_chunks_have_numeric_times_and_join_to_the_text() -> None:
    body = render_transcription(TRANSCRIPTION, return_timestamps=True)
    assert body["chunks"] == [
        {"text": " One two.", "timestamp": [0.0, 1.5]},
        {"text": " Three.", "timestamp": [1.5, 3.25]},
    ]
    assert "".join(chunk["text"] for chunk in body["chunks"]).strip() == body["text"]


def test_silence_has_no_chunks() -> None:
    silence = Transcription(task="transcribe", language="en", duration_s=1.0, segments=())
    assert render_transcription(silence, return_timestamps=True) == {"text": "", "chunks": []}
