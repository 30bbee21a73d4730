"""Segments to cues: what is shown at a time, short enough to be read, cut where a reader would pause."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hf_asr_endpoint.types import Segment

# How much larger a part may be, for a cut behind the end of a sentence or of a clause, than without it.
_SENTENCE_BONUS, _CLAUSE_BONUS = 0.3, 0.15
_SENTENCE_ENDS, _CLAUSE_ENDS = ".!?…。！？؟।", ",;:—–、，；："
_QUOTES = "\"'”’»)]」"

# A word, or one character of a script that has no spaces, with the space before it.
_PIECE = re.compile(
    r"\s*(?:[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]|[^\s\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]+)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CueLimits:
    """How much one cue shows: seconds at most, and characters at most, on two lines when there are many."""

    max_s: float = 7.0
    max_characters: int = 84


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """Text and the seconds from which to which it is shown. text: one or two lines, none of them empty."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """What is never cut: a word, with the space before it."""

    start: float
    end: float
    text: str


def make_cues(segments: Iterable[Segment], limits: CueLimits) -> list[Cue]:
    """Return the cues of a transcription, in order. A segment within the limits is one cue.

    A longer one is cut between words: at the words' times if it has them, else in proportion to characters.
    """
    cues = []
    for segment in segments:
        for pieces in _split(_pieces(segment, limits), limits):
            text = _text(pieces)
            if text:
                cues.append(Cue(start=pieces[0].start, end=pieces[-1].end, text=_in_lines(text, limits)))
    return cues


def _pieces(segment: Segment, limits: CueLimits) -> list[_Piece]:
    words = [_Piece(start=word.start, end=word.end, text=word.word) for word in segment.words]
    whole = words or [_Piece(start=segment.start, end=segment.end, text=segment.text)]
    return [
        piece
        for word in whole
        for piece in ([word] if words and len(word.text) <= limits.max_characters else _cut(word, limits))
    ]


def _cut(whole: _Piece, limits: CueLimits) -> list[_Piece]:
    """Return a text's words, with times in proportion to characters."""
    found = (match.group() for match in _PIECE.finditer(whole.text))
    texts = [
        text[begin : begin + limits.max_characters]
        for text in found
        for begin in range(0, len(text), limits.max_characters)
    ]
    n_characters = sum(map(len, texts))
    pieces = []
    n_before = 0
    for text in texts:
        start = whole.start + (whole.end - whole.start) * n_before / n_characters
        n_before += len(text)
        end = whole.start + (whole.end - whole.start) * n_before / n_characters
        pieces.append(_Piece(start=start, end=end, text=text))
    return pieces


def _split(pieces: Sequence[_Piece], limits: CueLimits) -> list[Sequence[_Piece]]:
    """Halve until everything fits, each time where the larger part is smallest, or nearly so behind a pause."""
    if len(pieces) < 2 or _size(pieces, limits) <= 1:
        return [pieces] if pieces else []
    total = _size(pieces, limits)

    def cost(at: int) -> float:
        larger = max(_size(pieces[:at], limits), _size(pieces[at:], limits))
        return larger / total - _bonus(pieces[at - 1].text)

    best = min(range(1, len(pieces)), key=cost)
    return [*_split(pieces[:best], limits), *_split(pieces[best:], limits)]


def _size(pieces: Sequence[_Piece], limits: CueLimits) -> float:
    """Return the part that pieces take of what one cue may be."""
    duration_s = round(pieces[-1].end - pieces[0].start, 3)
    return max(len(_text(pieces)) / limits.max_characters, duration_s / limits.max_s)


def _bonus(text: str) -> float:
    last = text.rstrip().rstrip(_QUOTES)[-1:]
    if not last:
        return 0.0
    return _SENTENCE_BONUS if last in _SENTENCE_ENDS else _CLAUSE_BONUS if last in _CLAUSE_ENDS else 0.0


def _text(pieces: Iterable[_Piece]) -> str:
    """Return the text on one line: no line break in it can be taken for the end of the cue."""
    return " ".join("".join(piece.text for piece in pieces).split())


def _in_lines(text: str, limits: CueLimits) -> str:
    """Break a text that is longer than half a cue into two lines, as equal as its spaces allow."""
    spaces = [match.start() for match in re.finditer(" ", text)]
    if len(text) <= -(-limits.max_characters // 2) or not spaces:
        return text

    def cost(at: int) -> float:
        return max(at, len(text) - at - 1) / len(text) - _bonus(text[:at]) / 2

    at = min(spaces, key=cost)
    return f"{text[:at]}\n{text[at + 1 :]}"
