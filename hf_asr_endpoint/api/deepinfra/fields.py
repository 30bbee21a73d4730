"""A form's texts to values: plain, or as JSON, as deepinfra-node writes every one of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hf_asr_endpoint.api.deepinfra.schema import AUDIO, FIELDS, FIXED, NULLABLE, PROSE, TEXTS
from hf_asr_endpoint.api.texts import MAX_NAME_CHARACTERS, check_text, given_twice, suggest
from hf_asr_endpoint.api.values import is_null, plain
from hf_asr_endpoint.errors import UnknownParameter
from hf_asr_endpoint.messages import quote


def collect_fields(texts: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the value of each field but `audio`.

    An empty text means an absent field; so does null, as programs spell it, where it switches nothing off, and ""
    for a field that is not a list of tokens. Fixed parameters are checked and not returned.
    Raises UnknownParameter, and InvalidParameter for a name given twice.
    """
    values: dict[str, Any] = {}
    seen: set[str] = set()
    for name, text in texts:
        if (parameter := FIXED.get(base := name.partition("[")[0])) is not None:
            parameter.check(base, text)
            continue
        _check_name(name)
        if name in seen:
            raise given_twice(name)
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
    close = suggest(name, FIELDS)
    hint = f"did you mean {close!r}? " if close else ""
    raise UnknownParameter(
        f"there is no parameter {quote(name, max_characters=MAX_NAME_CHARACTERS)}; "
        f"{hint}allowed: {', '.join(FIELDS)}",
        parameter=name[:MAX_NAME_CHARACTERS],
    )


def _parse_value(name: str, text: str) -> Any:
    """Return the value of a text that is JSON, or else the text itself; None for null in any spelling."""
    if is_null(text) and name != "suppress_tokens":
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text if name in PROSE else plain(text)
    if isinstance(value, str):
        check_text(value, name=name)  # JSON can spell what no text may hold.
    if name in TEXTS:
        return value if value is None or isinstance(value, str) else text
    return value
