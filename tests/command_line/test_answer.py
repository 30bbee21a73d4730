"""verbose_json back to the transcription that it was made of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hf_asr_endpoint.api.openai.render import render_verbose_json
from hf_asr_endpoint.api.responses import encode_json
from hf_asr_endpoint.command_line.transcribe.answer import Answer, read_answer
from hf_asr_endpoint.errors import AsrError
from hf_asr_endpoint.types import DecodedWindow, Segment, Task, Transcription, Word

WINDOW = DecodedWindow(
    start=30.02, temperature=0.2, avg_logprob=-0.3, compression_ratio=1.1, no_speech_prob=0.0123456789
)


def words(*texts: str) -> tuple[Word, ...]:
    return tuple(
        Word(word=text, start=30.0 + i, end=30.5 + i, probability=1 / (i + 1)) for i, text in enumerate(texts)
    )


def segment(*texts: str, language: str | None = None) -> Segment:
    return Segment(
        start=30.0,
        end=39.0,
        text="".join(texts),
        tokens=(1, 2),
        window=WINDOW,
        words=words(*texts),
        language=language,
    )


def transcription(*segments: Segment, task: Task = "transcribe") -> Transcription:
    return Transcription(task=task, language="en", language_probability=None, duration_s=40.5, segments=segments)


def send(made: Transcription, *, shows_words: bool = True) -> Transcription:
    body = render_verbose_json(made, shows_segments=True, shows_words=shows_words)
    return read_answer(Answer.model_validate_json(encode_json(body)))


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(transcription(), id="silence"),
        pytest.param(transcription(segment(" One", " two,", " three."), segment(" Four")), id="words"),
        pytest.param(transcription(segment("你", "好", "。"), segment(" ", "好")), id="no spaces"),
        pytest.param(transcription(segment(" the", " the", " the"), segment(" the")), id="repeated"),
        pytest.param(transcription(segment(" One "), segment(" two", " ")), id="spaces at the end"),
        pytest.param(transcription(segment(" Eins", language="de")), id="another language"),
        pytest.param(transcription(segment(" One"), task="translate"), id="translation"),
        pytest.param(replace(transcription(segment(" One")), language_probability=0.7), id="detected"),
    ],
)
def test_a_transcription_survives(made: Transcription) -> None:
    got = send(made)
    assert [one.text for one in got.segments] == [one.text for one in made.segments]
    assert ["".join(word.word for word in one.words) for one in got.segments] == [
        one.text for one in made.segments
    ]
    for shows_words in (True, False):
        shown = [render_verbose_json(one, shows_segments=True, shows_words=shows_words) for one in (got, made)]
        if shows_words:
            for body in shown:  # A word that is only a space is part of its neighbour afterwards.
                body["words"] = [word for word in body["words"] if word["word"]]
        assert shown[0] == shown[1]


def test_without_words_there_are_none() -> None:
    assert send(transcription(segment(" One")), shows_words=False).segments[0].words == ()


def test_words_of_another_text_are_refused() -> None:
    made = transcription(replace(segment(" One", " two"), text=" One, two"))
    with pytest.raises(AsrError, match="are not those of its segment ' One, two'"):
        send(made)
