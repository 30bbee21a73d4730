"""How messages show what somebody gave: bounded in length, whatever the value is, and without secrets."""

from __future__ import annotations

import re
import reprlib

MAX_SHOWN_CHARACTERS = 80

_SECRETS = re.compile(
    r"(?<=://)([^/?#@:\s]*:)(?!\d+(?:/|$))[^@]*(?=@)"  # a password; HOST:PORT is none
    r"|((?<=[?&])client_secret=)[^&\s']*"  # of Azure
)

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = MAX_SHOWN_CHARACTERS
_repr.maxlevel = 2


def show_value(value: object) -> str:
    """Return a value as Python writes it, shortened; text is quoted and its control characters are escaped.

    The time that it takes is bounded, too: only the parts of a long text or list that are shown are read.
    """
    return shorten(_repr.repr(value))


def quote(text: str, *, max_characters: int = MAX_SHOWN_CHARACTERS) -> str:
    """Return the beginning of a text as Python writes it: quoted, with its control characters escaped."""
    return repr(shorten(text, max_characters=max_characters))


def shorten(text: str, *, max_characters: int = MAX_SHOWN_CHARACTERS) -> str:
    """Return a text, with an ellipsis in place of its end when it is too long."""
    return text if len(text) <= max_characters else text[: max_characters - 1] + "…"


def hide_secrets(text: str) -> str:
    """Return a text with asterisks in place of the passwords in its URIs, also of those that are not valid."""
    return _SECRETS.sub(lambda found: f"{found[1] or found[2]}***", text)
