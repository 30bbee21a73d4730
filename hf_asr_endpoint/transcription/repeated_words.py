"""Whether a text only says again how another one ended."""

from __future__ import annotations

import unicodedata

from hf_asr_endpoint.transcription.word_split import WITHOUT_SPACES


def ends_with(before: str, said: str, *, language: str | None) -> bool:
    """Say whether `said` has words and these are the last ones of `before`, however they are written.

    Capitals and punctuation do not count. Where a language writes no spaces, every character is a word.
    """
    last, words = _words(before, language), _words(said, language)
    return bool(words) and last[-len(words) :] == words


def _words(text: str, language: str | None) -> list[str]:
    words = ("".join(filter(_is_spoken, word)) for word in text.casefold().split())
    plain = [word for word in words if word]
    return list("".join(plain)) if language in WITHOUT_SPACES else plain


def _is_spoken(character: str) -> bool:
    """Letters, the marks that belong to them in many scripts, and digits."""
    return unicodedata.category(character)[0] in "LMN"
