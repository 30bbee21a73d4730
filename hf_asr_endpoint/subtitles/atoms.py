"""Segments to atoms: parts of text that are never broken, each with its times."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

from hf_asr_endpoint.subtitles.breaks import split_atoms
from hf_asr_endpoint.types import Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Atom:
    """A word, or a character of a script without spaces, with punctuation. text: without whitespace, never empty.

    has_space: whether a space is between it and the atom before it.
    """

    start: float
    end: float
    text: str
    has_space: bool


def find_atoms(segment: Segment, *, max_characters: int) -> list[Atom]:
    """Return the atoms of a segment, in order. An atom of more than `max_characters` is cut.

    Times are those of the segment's words. Within a word, and in a segment without words, they are in proportion
    to characters.
    """
    words = [(word.word, word.start, word.end) for word in segment.words] or [
        (segment.text, segment.start, segment.end)
    ]
    text = "".join(word for word, _, _ in words)
    clock = _Clock(words)
    atoms = []
    for whole_begin, whole_end in split_atoms(text):
        stripped = whole_end - len(text[whole_begin:whole_end].lstrip())
        for begin in range(stripped, whole_end, max_characters):
            end = min(begin + max_characters, whole_end)
            is_first = begin == stripped
            atoms.append(
                Atom(
                    start=clock.start_of(whole_begin if is_first else begin, begin),
                    end=clock.end_of(end),
                    text=text[begin:end],
                    has_space=is_first and stripped > whole_begin,
                )
            )
    return atoms


class _Clock:
    """The times of positions in a text that words make up."""

    def __init__(self, words: Sequence[tuple[str, float, float]]) -> None:
        spoken = [word for word in words if word[0]]
        self._times = [(start, end) for _, start, end in spoken]
        self._lengths = [len(text) for text, _, _ in spoken]
        self._begins = [0]
        for length in self._lengths:
            self._begins.append(self._begins[-1] + length)

    def start_of(self, blank: int, position: int) -> float:
        """Return when the character at `position` begins. blank: where the whitespace before it begins."""
        index = bisect.bisect_right(self._begins, position) - 1
        return self._at(index, max(blank, self._begins[index]))

    def end_of(self, position: int) -> float:
        """Return when the character before `position` ends."""
        return self._at(bisect.bisect_left(self._begins, position) - 1, position)

    def _at(self, index: int, position: int) -> float:
        start, end = self._times[index]
        return start + (end - start) * (position - self._begins[index]) / self._lengths[index]
