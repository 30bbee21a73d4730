"""Text that clients send: what is accepted and how long it may be.

Knows nothing of the dialects; every one of them uses it, so that a text is refused alike wherever it enters.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.messages import quote

MAX_AUDIO_TRACK = 1_000
AUDIO_TRACK_ALLOWED = f"a whole number from 0 (the file's first audio track) to {MAX_AUDIO_TRACK}"

MAX_PROMPT_CHARACTERS = 10_000
"""Of `prompt`, `initial_prompt`, `hotwords`, and of all `keywords` together.

Whisper reads the last 223 tokens of a prompt, about 1,000 characters; clients that send all they have transcribed
so far send a few times as many.
"""

MAX_KEYWORDS = 1_000

MAX_NAME_CHARACTERS = 100
"""Longer names of parameters are cut before they are compared with known ones or shown."""

_NOT_A_CHARACTER = re.compile("[\x00\ud800-\udfff]")
_NUMBER = re.compile(r"\s*[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\s*", re.ASCII)


def check_text(text: str, *, name: str) -> str:
    """Return the text. Raises InvalidParameter for one with half of a surrogate pair or a NUL character.

    JSON and form fields can spell both; a tokenizer and a UTF-8 answer cannot represent the first, and no
    text needs the second.
    """
    if found := _NOT_A_CHARACTER.search(text):
        what = "a NUL character" if found[0] == "\0" else "half of a surrogate pair"
        name = name[:MAX_NAME_CHARACTERS]
        raise InvalidParameter(
            f"{name} has {what} at position {found.start()}; allowed: whole Unicode characters without NUL",
            parameter=name,
        )
    return text


def given_twice(name: str) -> InvalidParameter:
    """Return the error for a parameter that a request gives more than once."""
    name = name[:MAX_NAME_CHARACTERS]
    return InvalidParameter(f"{name} is given twice; allowed: once", parameter=name)


def suggest(name: str, known: Collection[str]) -> str | None:
    """Return the known name that is closest to an unknown one, if one is close."""
    close = difflib.get_close_matches(name[:MAX_NAME_CHARACTERS], known, n=1)
    return close[0] if close and close[0] != name else None


def join_names(names: Iterable[str]) -> str:
    """Return the first few of a client's names as a message shows them."""
    shown = [quote(name) for name in names]
    return f"[{', '.join(shown[:5])}{', …' if len(shown) > 5 else ''}]"


def check_number(value: object) -> object:
    """Return the value. Raises ValueError for what Python takes for a number and JSON does not: True, "1_0"."""
    if isinstance(value, bool) or (isinstance(value, str) and not _NUMBER.fullmatch(value)):
        raise ValueError("not a number")
    return value


def _check_whole(text: str) -> str:
    if _NOT_A_CHARACTER.search(text):
        raise ValueError("not text")
    return text


def _check_keywords(keywords: tuple[str, ...]) -> tuple[str, ...]:
    if sum(map(len, keywords)) > MAX_PROMPT_CHARACTERS:
        raise ValueError("too long")
    return keywords


PlainNumber = BeforeValidator(check_number)
"""For `Annotated[int, PlainNumber]` and the like in pydantic models whose values may be texts."""

Prompt = Annotated[str, Field(max_length=MAX_PROMPT_CHARACTERS), AfterValidator(_check_whole)]
"""The type of texts that reach the decoder."""

PROMPT_ALLOWED = f"a text of at most {MAX_PROMPT_CHARACTERS} characters, without NUL or half of a surrogate pair"
"""What a field of type Prompt allows."""

Keywords = Annotated[
    tuple[Annotated[str, AfterValidator(_check_whole)], ...],
    Field(max_length=MAX_KEYWORDS, fail_fast=True),
    AfterValidator(_check_keywords),
]
"""The type of a list of texts that reach the decoder together."""

KEYWORDS_ALLOWED = f"at most {MAX_KEYWORDS} texts, of {MAX_PROMPT_CHARACTERS} characters together"
"""What a field of type Keywords allows."""
