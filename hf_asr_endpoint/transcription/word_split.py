"""Text tokens to words, punctuation attached. Knows no times.

The rules are those of openai/whisper: `split_to_word_tokens` in its `tokenizer.py`, `merge_punctuations` in its
`timing.py`.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WITHOUT_SPACES = ("zh", "ja", "th", "lo", "my", "yue")  # languages that hardly write any between words

PREPENDED = "\"'“¿([{-"
APPENDED = "\"'.。,，!！?？:：”)]}、"

Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WordTokens:
    """A word of a text, and which of the text's tokens it is.

    spoken: those of them that are not punctuation attached to it.
    """

    text: str
    tokens: range
    spoken: range


def split_words(
    tokens: Sequence[int], *, language: str | None, decode: Decode, first: int = 0
) -> list[WordTokens]:
    """Return the words of text tokens, in order. Joined, they are the text; together they are all tokens.

    language: as a code; None when it is not known. first: what the first token counts as.
    """
    pieces = _split_characters(tokens, decode, first)
    if language not in WITHOUT_SPACES:
        pieces = _join_to_spaces(pieces)
    return _append(_prepend(pieces))


def _split_characters(tokens: Sequence[int], decode: Decode, first: int) -> list[WordTokens]:
    """Split wherever tokens end with a whole character."""
    text = decode(tokens)
    pieces: list[WordTokens] = []
    begin = done = 0
    for end in range(1, len(tokens) + 1):
        piece = decode(tokens[begin:end])
        # What ends within a character decodes to a sign that the text has only if the rest never comes.
        if end < len(tokens) and not text.startswith(piece, done):
            continue
        piece = piece if end < len(tokens) else text[done:]
        own = range(first + begin, first + end)
        pieces.append(WordTokens(text=piece, tokens=own, spoken=own))
        begin, done = end, done + len(piece)
    return pieces


def _join_to_spaces(pieces: Sequence[WordTokens]) -> list[WordTokens]:
    """Begin a word with each space and each sign of punctuation."""
    words: list[WordTokens] = []
    for piece in pieces:
        if words and not piece.text.startswith(" ") and piece.text.strip() not in string.punctuation:
            words[-1] = _join(words[-1], piece, spoken=range(words[-1].spoken.start, piece.spoken.stop))
        else:
            words.append(piece)
    return words


def _prepend(pieces: Sequence[WordTokens]) -> list[WordTokens]:
    """Attach what opens to the word behind it."""
    words: list[WordTokens] = []  # the last one first
    for piece in reversed(pieces):
        if words and piece.text.startswith(" ") and piece.text.strip() in PREPENDED:
            words[-1] = _join(piece, words[-1], spoken=words[-1].spoken)
        else:
            words.append(piece)
    return words[::-1]


def _append(pieces: Sequence[WordTokens]) -> list[WordTokens]:
    """Attach what closes to the word before it."""
    words: list[WordTokens] = []
    for piece in pieces:
        if words and not words[-1].text.endswith(" ") and piece.text in APPENDED:
            words[-1] = _join(words[-1], piece, spoken=words[-1].spoken)
        else:
            words.append(piece)
    return words


def _join(left: WordTokens, right: WordTokens, *, spoken: range) -> WordTokens:
    return WordTokens(
        text=left.text + right.text, tokens=range(left.tokens.start, right.tokens.stop), spoken=spoken
    )
