"""A form's texts to values: plain, or as JSON, as deepinfra-node writes every one of them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import Any

from hf_asr_endpoint.api.deepinfra.schema import AUDIO, FIELDS, NULLABLE, TEXTS
from hf_asr_endpoint.errors import InvalidParameter, UnknownParameter


def collect_fields(texts: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the value of each field but `audio`. An empty text means an absent field; so does null where it
    switches nothing off, and "" where it is no list of tokens.

    Raises UnknownParameter, and InvalidParameter for a name given twice.
    """
    values: dict[str, Any] = {}
    seen: set[str] = set()
    for name, text in texts:
        _check_name(name)
        if name in seen:
            raise InvalidParameter(f"{name} is given twice; allowed: once", parameter=name)
        seen.add(name)
        if not text.strip():
            continue
        value = _parse_value(name, text)
        if (value is None and name not in NULLABLE) or (value == "" and name != "suppress_tokens"):
            continue
        values[name] = value
    return values


def _check_name(name: str) -> None:
    if name in FIELDS and name != AUDIO:
        return
    close = difflib.get_close_matches(name, FIELDS, n=1)
    hint = f"did you mean {close[0]!r}? " if close and close[0] != name else ""
    raise UnknownParameter(
        f"there is no parameter {name[:100]!r}; {hint}allowed: {', '.join(FIELDS)}", parameter=name[:100]
    )


def _check_text(name: str, text: str) -> None:
    """Refuse half a surrogate pair, which JSON can spell and nobody can say."""
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidParameter(f"{name} is not text ({exc}); allowed: whole characters", parameter=name) from exc


def _parse_value(name: str, text: str) -> Any:
    """Return what JSON says, or else the text itself; None for null."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, str):
        _check_text(name, value)
    if name in TEXTS:
        return value if value is None or isinstance(value, str) else text
    return value
