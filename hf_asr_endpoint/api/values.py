"""Values as clients spell them: null, switches and numbers, as texts or as JSON has them.

Knows neither parameters nor dialects. Every function takes bounded time for a text of any length.
"""

from __future__ import annotations

import json
import re

MAX_SPELLED_CHARACTERS = 100
"""No switch, number or word for null is spelled longer."""

NULLS = frozenset({"", "null", "none", "undefined", "[]", "{}"})
"""What JavaScript, Python and forms make of a value that is not there, and of one that is empty."""

TRUE = frozenset({"true", "1", "yes", "on", "y", "t"})
FALSE = frozenset({"false", "0", "no", "off", "n", "f"})

_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII)


def plain(text: str) -> str:
    """Return a text without blanks around it, and without the quotes of a JSON string."""
    stripped = text.strip()
    if len(stripped) < 2 or stripped[0] != '"' or stripped[-1] != '"':
        return stripped
    try:
        value = json.loads(stripped)
    except ValueError:
        return stripped
    return value.strip() if isinstance(value, str) else stripped


def is_null(value: object) -> bool:
    """Return whether a value means that there is none: null in any spelling, or an empty list or object."""
    if isinstance(value, str):
        return len(value) <= MAX_SPELLED_CHARACTERS and plain(value).lower() in NULLS
    return value is None or value == [] or value == {}


def switch_of(value: object) -> bool | None:
    """Return a switch in any spelling; None for other values."""
    if isinstance(value, bool):
        return value
    text = _spelling(value).lower()
    if text in TRUE:
        return True
    return False if text in FALSE else None


def number_of(value: object) -> float | None:
    """Return a number, also one in a text; None for other values, and for "1_0", which only Python reads."""
    if isinstance(value, bool):
        return None
    text = _spelling(value)
    return float(text) if _NUMBER.fullmatch(text) else None


def _spelling(value: object) -> str:
    if isinstance(value, str):
        return plain(value) if len(value) <= MAX_SPELLED_CHARACTERS else ""
    return repr(value) if isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**20) else ""
