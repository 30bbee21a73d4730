"""Text tokens to words, punctuation attached. Knows no times.

The rules are those of openai/whisper: `split_to_word_tokens` in its `tokenizer.py`, `merge_punctuations` in its
`timing.py`. Two differ, because people read the words: a number, an amount and a hyphenated name stay whole
("£13.60", "600,000", "MS-13"), and so do the Latin words in languages without spaces.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WITHOUT_SPACES = ("zh", "ja", "th", "lo", "my", "yue")  # languages that write no spaces between words

PREPENDED = "\"'“¿([{-"
APPENDED = "\"'.。,，!！?？:：”)]}、"

HYPHENS = "-\u2010\u2011"
CONNECTORS = HYPHENS + ".,:/'\u2019"
CURRENCIES = "$£€¥￥₩₹₽₺₴₫฿¢"
UNITS = "%‰°"

_UNSPACED = (
    *((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x312F), (0x3190, 0xA4CF)),
    *((0xF900, 0xFAFF), (0xFF66, 0xFF9F), (0x1B000, 0x1B16F), (0x20000, 0x3FFFF)),
)

_HANGUL = re.compile(r"[\uAC00-\uD7A3]")

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
    pieces = _join(pieces, _continues_latin_word if language in WITHOUT_SPACES else _continues_word)
    return _append(_prepend(_join(pieces, _continues_compound)))


def ends_with_words(before: str, text: str, *, language: str | None) -> bool:
    """Return whether `text` has words and they are the last words of `before`.

    Before other words that are the same, the first may lack its first letter or have another one, as it is heard
    where the beginning is cut off: "tan Pedro" for "San Pedro". Capitals and punctuation are ignored. In languages
    without spaces every character is a word.
    """
    previous, words = _plain_words(before, language), _plain_words(text, language)
    if not words:
        return False
    last = previous[-len(words) :]
    if last == words:
        return True
    return len(words) == len(last) > 1 and words[1:] == last[1:] and _is_cut_off(last[0], words[0])


def _is_cut_off(said: str, heard: str) -> bool:
    """Return whether `heard` may be `said` with its first sound cut off. A Korean character is a syllable, not a
    sound.
    """
    rest = heard[1:]
    is_spelt_in_sounds = heard.isalpha() and not _HANGUL.search(heard)
    return is_spelt_in_sounds and bool(rest) and len(said) - len(heard) in (0, 1) and said.endswith(rest)


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


def _join(
    pieces: Sequence[WordTokens], continues: Callable[[str, WordTokens, WordTokens | None], bool]
) -> list[WordTokens]:
    """Join each piece to the word before it where `continues` says so of the word, the piece and the next one."""
    words: list[WordTokens] = []
    for piece, after in zip(pieces, [*pieces[1:], None], strict=False):
        if words and continues(words[-1].text, piece, after):
            words[-1] = _attach(words[-1], piece, spoken=range(words[-1].spoken.start, piece.spoken.stop))
        else:
            words.append(piece)
    return words


def _continues_word(word: str, piece: WordTokens, after: WordTokens | None) -> bool:
    """A word begins at each space and each punctuation mark."""
    return not piece.text.startswith(" ") and piece.text.strip() not in string.punctuation


def _continues_latin_word(word: str, piece: WordTokens, after: WordTokens | None) -> bool:
    """A word of a script with spaces goes on until a space, a mark, or a character of a script without."""
    return bool(piece.text) and _is_latin(word[-1:]) and all(map(_is_latin, piece.text))


def _continues_compound(word: str, piece: WordTokens, after: WordTokens | None) -> bool:
    """Join amounts, and what is on both sides of a mark within a number or of a hyphen within a name."""
    text = piece.text
    if not word or not text:
        return False
    following = text[1:2] or ("" if after is None else after.text[:1])
    if text[0] in CURRENCIES + UNITS:
        return word[-1].isdigit() or (text[0] in CURRENCIES and _is_latin(word[-1]) and following.isdigit())
    if text[0] in CONNECTORS:
        return _connects(word[-1], text[0], following)
    if word[-1] in CURRENCIES:
        return text[0].isdigit()
    return word[-1] in CONNECTORS and _connects(word[-2:-1], word[-1], text[0])


def _connects(left: str, mark: str, right: str) -> bool:
    """Return whether a mark is within a word: any one between digits, a hyphen also between letters."""
    if not left or not right:
        return False
    if left.isdigit() and right.isdigit():
        return True
    return mark in HYPHENS and _is_latin(left) and _is_latin(right)


def _is_latin(character: str) -> bool:
    """Return whether a character is spoken and of a script that writes spaces between words, or is a digit."""
    return bool(character) and _is_spoken(character) and not _is_unspaced(character)


def _is_unspaced(character: str) -> bool:
    """Return whether a character is of a script without spaces: Thai, Lao, Myanmar, Khmer, Han, kana."""
    code = ord(character)
    return any(first <= code <= last for first, last in _UNSPACED)


def _prepend(pieces: Sequence[WordTokens]) -> list[WordTokens]:
    """Attach opening punctuation to the next word."""
    words: list[WordTokens] = []  # the last one first
    for piece in reversed(pieces):
        if words and piece.text.startswith(" ") and piece.text.strip() in PREPENDED:
            words[-1] = _attach(piece, words[-1], spoken=words[-1].spoken)
        else:
            words.append(piece)
    return words[::-1]


def _append(pieces: Sequence[WordTokens]) -> list[WordTokens]:
    """Attach closing punctuation to the previous word."""
    words: list[WordTokens] = []
    for piece in pieces:
        if words and not words[-1].text.endswith(" ") and piece.text in APPENDED:
            words[-1] = _attach(words[-1], piece, spoken=words[-1].spoken)
        else:
            words.append(piece)
    return words


def _attach(left: WordTokens, right: WordTokens, *, spoken: range) -> WordTokens:
    return WordTokens(
        text=left.text + right.text, tokens=range(left.tokens.start, right.tokens.stop), spoken=spoken
    )
