"""Whether a window repeats the text before it: with that text as its prompt, the decoder may copy it in a loop."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

MIN_REPEATED_CHARACTERS = 12  # A shorter text that comes again is an answer or an interjection, not a loop.
MIN_REPEATED_SHARE = 0.5  # of the window's text


def repeats(previous: str, text: str) -> bool:
    """Return whether half of `text` or more is one stretch of `previous`. Case and punctuation do not count."""
    before, after = _letters(previous), _letters(text)
    match = SequenceMatcher(None, before, after, autojunk=False).find_longest_match()
    return match.size >= max(MIN_REPEATED_CHARACTERS, MIN_REPEATED_SHARE * len(after))


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold())
