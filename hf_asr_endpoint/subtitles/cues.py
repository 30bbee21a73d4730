"""Segments to cues: texts that can be read in their time, cut where a reader pauses. Knows no file formats."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from hf_asr_endpoint.subtitles.atoms import Atom, find_atoms
from hf_asr_endpoint.subtitles.breaks import is_fullwidth
from hf_asr_endpoint.subtitles.limits import CueLimits, SubtitleShape
from hf_asr_endpoint.subtitles.lines import Ruler
from hf_asr_endpoint.types import Segment

# By how much of the whole the larger part may grow, for a cut at the end of a sentence or of a clause. In scripts
# without spaces, a space has the meaning of a comma.
_SENTENCE_BONUS, _CLAUSE_BONUS = 0.3, 0.15
_SENTENCE_ENDS, _CLAUSE_ENDS = ".!?…。！？؟।", ",;:—–、，；："
_QUOTES = "\"'”’»)]」』）"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """A text and the time in which it is shown, in seconds. text: one or more lines, none of them empty.

    marked: the part of the text, from its begin to its end (exclusive), that is being said; None without a mark.
    """

    start: float
    end: float
    text: str
    marked: tuple[int, int] | None = None


def make_cues(segments: Iterable[Segment], limits: CueLimits, shape: SubtitleShape | None = None) -> list[Cue]:
    """Return the cues of a transcription, in order. A segment within the limits is one cue.

    A longer one is cut between words, and Chinese and Japanese between characters. limits: the server's.
    """
    shape = shape or SubtitleShape()
    limits = shape.within(limits)
    cues: list[Cue] = []
    for segment in segments:
        cutter = _Cutter(find_atoms(segment, max_characters=limits.max_characters), limits)
        for begin, end in cutter.parts():
            cues += cutter.highlight(begin, end) if shape.highlight_words else [cutter.cue(begin, end)]
    return cues if shape.highlight_words else list(_lengthen(cues, limits.min_s))


def _lengthen(cues: Sequence[Cue], min_s: float) -> Iterator[Cue]:
    """Yield the cues, each shown for `min_s` at least, or until the next one begins."""
    for index, cue in enumerate(cues):
        end = max(cue.end, cue.start + min_s)
        if index + 1 < len(cues):
            end = max(min(end, cues[index + 1].start), cue.end)
        yield replace(cue, end=end)


class _Cutter:
    """Cuts the atoms of one segment into cues."""

    def __init__(self, atoms: Sequence[Atom], limits: CueLimits) -> None:
        self._atoms = atoms
        self._limits = limits
        self._ruler = Ruler(atoms, limits)
        self._bonuses = [_bonus(atom, after) for atom, after in zip(atoms, [*atoms[1:], None], strict=False)]

    def parts(self) -> Iterator[tuple[int, int]]:
        """Yield the begin and end of each cue's atoms.

        Parts are halved until every one fits. Each cut is where the larger part is smallest, or nearly so and
        after a pause. The time is O(n log n), because the larger part shrinks with each cut.
        """
        n_atoms, n_words = len(self._atoms), self._limits.max_words or len(self._atoms) or 1
        waiting = [(begin, min(begin + n_words, n_atoms)) for begin in range(0, n_atoms, n_words)][::-1]
        while waiting:
            begin, end = waiting.pop()
            total = self._size(begin, end)
            if end - begin < 2 or (total <= 1 and self._ruler.has_lines_for(begin, end)):
                yield begin, end
                continue
            costs = [
                max(self._size(begin, at), self._size(at, end)) / total - self._bonuses[at - 1]
                for at in range(begin + 1, end)
            ]
            best = begin + 1 + costs.index(min(costs))
            waiting += [(best, end), (begin, best)]

    def cue(self, begin: int, end: int) -> Cue:
        text, _ = self._text(begin, end)
        return Cue(start=self._atoms[begin].start, end=self._atoms[end - 1].end, text=text)

    def highlight(self, begin: int, end: int) -> Iterator[Cue]:
        """Yield the cue again for each of its words, which is marked, and without a mark between them."""
        text, places = self._text(begin, end)
        shown_until = self._atoms[begin].start
        for index in range(begin, end):
            atom, place = self._atoms[index], places[index - begin]
            if atom.start > shown_until:
                yield Cue(start=shown_until, end=atom.start, text=text)
            yield Cue(start=atom.start, end=atom.end, text=text, marked=(place, place + len(atom.text)))
            shown_until = atom.end

    def _size(self, begin: int, end: int) -> float:
        """Return the size relative to that of the largest cue."""
        duration_s = round(self._atoms[end - 1].end - self._atoms[begin].start, 3)
        return max(self._ruler.width(begin, end) / self._ruler.cue_capacity, duration_s / self._limits.max_s)

    def _text(self, begin: int, end: int) -> tuple[str, list[int]]:
        """Return the text, and where each atom begins in it."""
        breaks = set(self._ruler.break_lines(begin, end, self._bonuses.__getitem__))
        text, places = [], []
        n_characters = 0
        for index in range(begin, end):
            atom = self._atoms[index]
            between = "\n" if index in breaks else " " if atom.has_space and index > begin else ""
            places.append(n_characters + len(between))
            text += [between, atom.text]
            n_characters += len(between) + len(atom.text)
        return "".join(text), places


def _bonus(atom: Atom, after: Atom | None) -> float:
    last = atom.text.rstrip(_QUOTES)[-1:]
    if last and last in _SENTENCE_ENDS:
        return _SENTENCE_BONUS
    is_blank = after is not None and after.has_space and is_fullwidth(atom.text[-1])
    return _CLAUSE_BONUS if (last and last in _CLAUSE_ENDS) or is_blank else 0.0
