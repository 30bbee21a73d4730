"""Drafts: tokens that a text probably has. Several are fed at once, and those kept that greedy decoding chooses.

That is the same text in fewer steps: speculative decoding (Leviathan et al. 2023, arXiv 2211.17192).
"""

from __future__ import annotations

from collections.abc import Sequence

SEARCHED = 8
"""Tokens before and behind the expected one in which a draft is searched for a token that differs."""

MIN_FED, MAX_FED = 3, 32
"""Tokens of a draft that are fed at once. Fewer take as long as steps do; more are thrown away at a timestamp."""


class Draft:
    """How far a text has come in its draft.

    The draft may lack timestamps and words, and have others. Its tokens are expected only behind one that was
    expected itself: behind a difference, a step tells where the text goes on.
    """

    def __init__(self, tokens: Sequence[int], *, is_expected: bool) -> None:
        """is_expected: whether the text begins with it."""
        self._tokens = tokens
        self._next = 0
        self._is_expected = is_expected

    @property
    def expected(self) -> Sequence[int]:
        """The tokens to be fed behind the last one of the text; none where it is not known what follows."""
        expected = self._tokens[self._next : self._next + MAX_FED]
        return expected if self._is_expected and len(expected) >= MIN_FED else ()

    def take(self, token: int) -> None:
        """Take the text's next token."""
        self._is_expected = self._next < len(self._tokens) and self._tokens[self._next] == token
        if self._is_expected:
            self._next += 1
            return
        around = range(max(self._next - SEARCHED, 0), min(self._next + SEARCHED, len(self._tokens)))
        found = [index for index in around if self._tokens[index] == token]
        if found:
            self._next = 1 + min(found, key=lambda index: abs(index - self._next))
