"""Atoms to lines, and how full they are. Widths are whole numbers, so that sums are exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from hf_asr_endpoint.subtitles.atoms import Atom
from hf_asr_endpoint.subtitles.breaks import is_fullwidth
from hf_asr_endpoint.subtitles.limits import CueLimits

Bonus = Callable[[int], float]
"""How good it is to break after the atom at an index, from 0 on; compared with the share of the longer line."""


class Ruler:
    """Measures runs of atoms, each in constant time. A line, and a cue, is full at its capacity.

    A fullwidth character takes the part of a line that `fullwidth_line_width` of them fill.
    """

    def __init__(self, atoms: Sequence[Atom], limits: CueLimits) -> None:
        narrow, wide = limits.fullwidth_line_width, limits.line_width
        self.line_capacity = narrow * wide
        self.cue_capacity = min(limits.max_characters * narrow, limits.max_fullwidth_characters * wide)
        self._max_lines = limits.max_lines
        self._max_words = limits.max_words_per_line or len(atoms)
        self._spaces = [narrow if atom.has_space else 0 for atom in atoms]
        self._ends = [0]
        for atom, space in zip(atoms, self._spaces, strict=True):
            width = sum(wide if is_fullwidth(character) else narrow for character in atom.text)
            self._ends.append(self._ends[-1] + space + width)

    def width(self, begin: int, end: int) -> int:
        """Return the width of the atoms `begin` to `end` (exclusive; at least one) on one line."""
        return self._ends[end] - self._ends[begin] - self._spaces[begin]

    def has_lines_for(self, begin: int, end: int) -> bool:
        """Return whether the lines of one cue hold the atoms. An atom wider than a line has one for itself."""
        return sum(1 for _ in self._fill(begin, end, self.line_capacity)) <= self._max_lines

    def break_lines(self, begin: int, end: int, bonus: Bonus) -> list[int]:
        """Return where lines after the first one begin: as few lines as possible, of nearly the same width."""
        n_lines = sum(1 for _ in self._fill(begin, end, self.line_capacity))
        if n_lines == 1:
            return []
        if n_lines > 2:
            return list(self._fill(begin, end, self._narrowest(begin, end, n_lines)))[1:]
        total = self.width(begin, end)

        def cost(at: int) -> tuple[bool, float]:
            longer = max(self.width(begin, at), self.width(at, end))
            is_over = longer > self.line_capacity or max(at - begin, end - at) > self._max_words
            return is_over, longer / total - bonus(at - 1) / 2

        return [min(range(begin + 1, end), key=cost)]

    def _narrowest(self, begin: int, end: int, n_lines: int) -> int:
        """Return the smallest capacity with which the atoms take no more lines."""
        low, high = 1, self.line_capacity
        while low < high:
            middle = (low + high) // 2
            if sum(1 for _ in self._fill(begin, end, middle)) <= n_lines:
                high = middle
            else:
                low = middle + 1
        return low

    def _fill(self, begin: int, end: int, capacity: int) -> Iterator[int]:
        """Yield the beginning of each line, if each takes as many atoms as it can."""
        line = begin
        yield line
        for index in range(begin + 1, end):
            if self.width(line, index + 1) > capacity or index - line >= self._max_words:
                line = index
                yield line
