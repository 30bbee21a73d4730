"""OpenAI's verbose_json to the Transcription that it was made of, as far as files show it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import BaseModel

from hf_asr_endpoint.errors import AsrError
from hf_asr_endpoint.languages import parse_language
from hf_asr_endpoint.types import DecodedWindow, Segment, Task, Transcription, Word
from hf_asr_endpoint.units import HOP_LENGTH, SAMPLE_RATE


class _Word(BaseModel):
    word: str
    start: float
    end: float
    probability: float


class _Segment(BaseModel):
    seek: int
    start: float
    end: float
    text: str
    tokens: tuple[int, ...]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    language: str | None = None


class Answer(BaseModel):
    """The parts of verbose_json, with segments, and with words where they were asked for."""

    task: Task
    language: str
    language_probability: float | None = None
    duration: float
    segments: tuple[_Segment, ...]
    words: tuple[_Word, ...] | None = None


def read_answer(answer: Answer) -> Transcription:
    """Return the transcription. Raises AsrError for words that are not those of the segments."""
    words = [()] * len(answer.segments) if answer.words is None else list(_split(answer.segments, answer.words))
    return Transcription(
        task=answer.task,
        language=_code(answer.language),
        language_probability=answer.language_probability,
        duration_s=answer.duration,
        segments=tuple(
            Segment(
                start=segment.start,
                end=segment.end,
                text=segment.text,
                tokens=segment.tokens,
                window=DecodedWindow(
                    start=segment.seek * HOP_LENGTH / SAMPLE_RATE,
                    temperature=segment.temperature,
                    avg_logprob=segment.avg_logprob,
                    compression_ratio=segment.compression_ratio,
                    no_speech_prob=segment.no_speech_prob,
                ),
                words=of_segment,
                language=segment.language and _code(segment.language),
            )
            for segment, of_segment in zip(answer.segments, words, strict=True)
        ),
    )


def _code(name: str) -> str:
    code = parse_language(name)
    if code is None:
        raise AsrError(f"the server's answer has the language {name!r}; expected: the name of one")
    return code


def _split(segments: Sequence[_Segment], words: Sequence[_Word]) -> Iterator[tuple[Word, ...]]:
    """Yield each segment's words. In the answer they lack the spaces before them, which the segment's text has."""
    waiting = list(reversed(words))
    for segment in segments:
        text, found = segment.text, list[Word]()
        while text.strip():
            word = waiting.pop() if waiting else None
            if word is None or not text.lstrip().startswith(word.word):
                raise AsrError(f"the words in the server's answer are not those of its segment {segment.text!r}")
            n_characters = len(text) - len(text.lstrip()) + len(word.word)
            piece, text = text[:n_characters], text[n_characters:]
            if not text.strip():  # Joined, a segment's words are its text.
                piece, text = piece + text, ""
            found.append(Word(word=piece, start=word.start, end=word.end, probability=word.probability))
        yield tuple(found)
