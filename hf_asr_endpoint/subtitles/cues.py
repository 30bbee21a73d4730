"""Segments to cues: texts that can be read in their time, cut where a reader pauses. Knows no file formats."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hf_asr_endpoint.types import Segment

# By how much of the whole the larger part may grow, for a cut at the end of a sentence or of a clause.
_SENTENCE_BONUS, _CLAUSE_BONUS = 0.3, 0.15
_SENTENCE_ENDS, _CLAUSE_ENDS = ".!?…。！？؟।", ",;:—–、，；："
_QUOTES = "\"'”’»)]」"

# A word, or one character of a script that has no spaces, with the space before it.
_PIECE = re.compile(
    r"\s*(?:[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]|[^\s\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]+)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CueLimits:
    """The longest cue: seconds, and characters on both of its lines together."""

    max_s: float = 7.0
    max_characters: int = 84


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """A text and the time in which it is shown, in seconds. text: one or two lines, neither of them empty."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A part that is never cut: a word with the space before it."""

    start: float
    end: float
    text: str


def make_cues(segments: Iterable[Segment], limits: CueLimits) -> list[Cue]:
    """Return the cues of a transcription, in order. A segment within the limits is one cue.

    A longer one is cut between words. Without times of words, they are estimated in proportion to characters.
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
    # Whitespace at the end belongs to no word, and the expression would search it again from each character on.
    found = (match.group() for match in _PIECE.finditer(whole.text.rstrip()))
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


def _split(pieces: Sequence[_Piece], limits: CueLimits) -> Iterator[Sequence[_Piece]]:
    """Halve the pieces until every part fits into a cue.

    Each cut is where the larger part is smallest, or nearly so and after a pause. The time is O(n log n), because
    the larger part shrinks with each cut.
    """
    sizes = _Sizes(pieces, limits)
    bonuses = [_bonus(piece.text) for piece in pieces]
    waiting = [(0, len(pieces))] if pieces else []
    while waiting:
        begin, end = waiting.pop()
        total = sizes.of(begin, end)
        if end - begin < 2 or total <= 1:
            yield pieces[begin:end]
            continue
        costs = [
            max(sizes.of(begin, at), sizes.of(at, end)) / total - bonuses[at - 1] for at in range(begin + 1, end)
        ]
        best = begin + 1 + costs.index(min(costs))
        waiting += [(best, end), (begin, best)]


class _Sizes:
    """The sizes of runs of pieces, relative to the largest cue, each in constant time.

    Keeps counts for the pieces before each one: of characters without whitespace, and of words in the joined text.
    """

    def __init__(self, pieces: Sequence[_Piece], limits: CueLimits) -> None:
        self._pieces = pieces
        self._limits = limits
        self._n_characters, self._n_words = [0], [0]
        self._begins_in_word: list[bool] = []  # whether a piece goes on with a word of an earlier one
        is_in_word = False
        for piece in pieces:
            words = piece.text.split()
            begins_in_word = is_in_word and not piece.text[:1].isspace()
            self._begins_in_word.append(begins_in_word)
            self._n_characters.append(self._n_characters[-1] + sum(map(len, words)))
            self._n_words.append(self._n_words[-1] + len(words) - (begins_in_word and bool(words)))
            is_in_word = not piece.text[-1].isspace() if piece.text else is_in_word
        for index in reversed(range(len(pieces) - 1)):
            if not pieces[index].text:  # An empty piece begins like the one after it.
                self._begins_in_word[index] = self._begins_in_word[index + 1]

    def of(self, begin: int, end: int) -> float:
        """Return the size of the pieces `begin` to `end` (exclusive; at least one)."""
        n_words = self._n_words[end] - self._n_words[begin] + self._begins_in_word[begin]
        n_characters = self._n_characters[end] - self._n_characters[begin] + max(n_words - 1, 0)
        duration_s = round(self._pieces[end - 1].end - self._pieces[begin].start, 3)
        return max(n_characters / self._limits.max_characters, duration_s / self._limits.max_s)


def _bonus(text: str) -> float:
    last = text.rstrip().rstrip(_QUOTES)[-1:]
    if not last:
        return 0.0
    return _SENTENCE_BONUS if last in _SENTENCE_ENDS else _CLAUSE_BONUS if last in _CLAUSE_ENDS else 0.0


def _text(pieces: Iterable[_Piece]) -> str:
    """Return the text on one line: a line break in it could be read as the end of the cue."""
    return " ".join("".join(piece.text for piece in pieces).split())


def _in_lines(text: str, limits: CueLimits) -> str:
    """Break a text longer than half a cue into two lines, as equal as its spaces allow."""
    spaces = [match.start() for match in re.finditer(" ", text)]
    if len(text) <= -(-limits.max_characters // 2) or not spaces:
        return text

    def cost(at: int) -> float:
        return max(at, len(text) - at - 1) / len(text) - _bonus(text[:at]) / 2

    at = min(spaces, key=cost)
    return f"{text[:at]}\n{text[at + 1 :]}"
