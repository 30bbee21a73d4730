"""How large a cue and its lines may be, for the server and for one request. Knows no text."""

from __future__ import annotations

from dataclasses import dataclass, replace

MAX_LINE_WIDTH, MAX_LINE_COUNT, MAX_WORDS_PER_LINE = 1_000, 100, 1_000
"""The largest values that a request may ask for: openai/whisper's own defaults, where it has some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CueLimits:
    """The longest and the shortest cue, and its lines.

    The defaults are those of Netflix's timed-text style guides: two lines; 42 characters in a line, 16 of them in
    Chinese and Korean; at most 7 s and at least 5/6 s. Sources: https://partnerhelp.netflixstudios.com/hc/en-us/
    articles/215758617 (general), 215986007 (simplified Chinese), 216001127 (Korean). Japanese lines have 13 there,
    for vertical text too; here they have as many as Chinese ones.
    """

    max_s: float = 7.0
    min_s: float = 0.8
    """Where the next cue leaves room."""
    max_characters: int = 84
    """On all lines together."""
    max_fullwidth_characters: int = 32
    """Of characters twice as wide, such as Chinese ones, on all lines together."""
    max_lines: int = 2
    max_words_per_line: int | None = None

    @property
    def line_width(self) -> int:
        """Characters in a line."""
        return -(-self.max_characters // self.max_lines)

    @property
    def fullwidth_line_width(self) -> int:
        """Characters in a line, if they are fullwidth."""
        return -(-self.max_fullwidth_characters // self.max_lines)

    @property
    def max_words(self) -> int | None:
        """On all lines together."""
        return None if self.max_words_per_line is None else self.max_words_per_line * self.max_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtitleShape:
    """What one request wants of its subtitles, with openai/whisper's names and meanings. None: the server's limit.

    Differences: lines have the server's limits where the request names none, and a cue never has text of two
    segments. A line of `max_line_width` has that many characters of any width.
    """

    max_line_width: int | None = None
    max_line_count: int | None = None
    max_words_per_line: int | None = None
    """Alone, it makes cues of one line each."""
    highlight_words: bool = False
    """Whether there is a cue for each word, in which it is marked, as long as it is spoken."""

    @property
    def is_default(self) -> bool:
        return self == SubtitleShape()

    def within(self, limits: CueLimits) -> CueLimits:
        """Return the limits of this request's cues. limits: the server's."""
        words = self.max_words_per_line
        max_lines = self.max_line_count or (1 if words and not self.max_line_width else limits.max_lines)
        return replace(
            limits,
            max_lines=max_lines,
            max_characters=(self.max_line_width or limits.line_width) * max_lines,
            max_fullwidth_characters=(self.max_line_width or limits.fullwidth_line_width) * max_lines,
            max_words_per_line=words,
        )
