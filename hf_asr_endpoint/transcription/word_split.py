"""Text tokens to words, punctuation attached. Knows no times.

The rules are those of openai/whisper: `split_to_word_tokens` in its `tokenizer.py`, `merge_punctuations` in its
`timing.py`.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WITHOUT_SPACES = ("zh", "ja", "th", "lo", "my", "yue")  # languages that write no spaces between words

PREPENDED = "\"'“¿([{-"
APPENDED = "\"'.。,，!！?？:：”)]}、"

Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WordTokens:
    """A word of a text, and the indices of its tokens.

    spoken: the indices without attached punctuation.
    """

    text: str
    tokens: range
    spoken: range


def split_words(
    tokens: Sequence[int], *, language: str | None, decode: Decode, first: int = 0
) -> list[WordTokens]:
    """Return the words of text tokens, in order. Joined, they are the text; together they have all tokens.

    language: a code; None when it is unknown. first: index of the first token.
    """
    pieces = _split_characters(tokens, decode, first)
    if language not in WITHOUT_SPACES:
        pieces = _join_to_spaces(pieces)
    return _append(_prepend(pieces))


def ends_with_words(before: str, text: str, *, language: str | None) -> bool:
    """Return whether `text` has words and they are the last words of `before`.

    Capitals and punctuation are ignored. In languages without spaces every character is a word.
    """
    previous, words = _plain_words(before, language), _plain_words(text, language)
    return bool(words) and previous[-len(words) :] == words


def _plain_words(text: str, language: str | None) -> list[str]:
    words = ("".join(filter(_is_spoken, word)) for word in text.casefold().split())
    plain = [word for word in words if word]
    return list("".join(plain)) if language in WITHOUT_SPACES else plain


def _is_spoken(character: str) -> bool:
    """Letters, the combining marks of many scripts, and digits."""
    return unicodedata.category(character)[0] in "LMN"


def _split_characters(tokens: Sequence[int], decode: Decode, first: int) -> list[WordTokens]:
    """Split after each token that ends with a complete character."""
    text = decode(tokens)
    pieces: list[WordTokens] = []
    begin = done = 0
    for end in range(1, len(tokens) + 1):
        piece = decode(tokens[begin:end])
        # An incomplete character decodes to a replacement sign, which the text has only where it stays incomplete.
        if end < len(tokens) and not text.startswith(piece, done):
            continue
        piece = piece if end < len(tokens) else text[done:]
        own = range(first + begin, first + end)
        pieces.append(WordTokens(text=piece, tokens=own, spoken=own))
        begin, done = end, done + len(piece)
    return pieces


def _join_to_spaces(pieces: Sequence[WordTokens]) -> list[WordTokens]:
    """Begin a word at each space and each punctuation mark."""
    words: list[WordTokens] = []
    for piece in pieces:
        if words and not piece.text.startswith(" ") and piece.text.strip() not in string.punctuation:
            words[-1] = _join(words[-1], piece, spoken=range(words[-1].spoken.start, piece.spoken.stop))
        else:
            words.append(piece)
    return words


def _prepend(pieces: Sequence[WordTokens]) -> list[WordTokens]:
    """Attach opening punctuation to the next word."""
    words: list[WordTokens] = []  # the last one first
    for piece in reversed(pieces):
        if words and piece.text.startswith(" ") and piece.text.strip() in PREPENDED:
            words[-1] = _join(piece, words[-1], spoken=words[-1].spoken)
        else:
            words.append(piece)
    return words[::-1]


def _append(pieces: Sequence[WordTokens]) -> list[WordTokens]:
    """Attach closing punctuation to the previous word."""
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
