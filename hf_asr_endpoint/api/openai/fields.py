"""A form's texts to parameters: lists and objects in any of the ways in which clients write them into forms."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from typing import Any

from hf_asr_endpoint.api.openai.schema import UNSUPPORTED_KEYS
from hf_asr_endpoint.api.texts import MAX_KEYWORDS, MAX_NAME_CHARACTERS, given_twice, suggest
from hf_asr_endpoint.errors import InvalidParameter, UnknownParameter, UnsupportedParameter
from hf_asr_endpoint.messages import quote

LISTS = ("timestamp_granularities", "include", "keywords")
COMMA_LISTS = ("timestamp_granularities", "include")
OBJECTS = ("chunking_strategy",)

_NAME = re.compile(r"([^\[\]]+)(?:\[([^\[\]]*)\])?")


def collect_fields(texts: Iterable[tuple[str, str]], *, allowed: Collection[str]) -> dict[str, Any]:
    """Return each parameter's value: a text, a list of texts, or an object. An empty text means an absent value.

    Lists may be written as `name[]`, `name[0]` or `name`, repeated, as JSON, or with commas where no comma can
    be part of an item; objects as JSON or as `name[key]`.
    allowed: names without brackets. Raises UnknownParameter and InvalidParameter, for names given twice too.
    """
    values: dict[str, Any] = {}
    for spelled, text in texts:
        name, key = _split_name(spelled, allowed=allowed)
        if not text.strip():
            continue
        if name in LISTS:
            items = values.setdefault(name, [])
            items.extend(_items(name, text))
            if len(items) > MAX_KEYWORDS:
                raise InvalidParameter(
                    f"{name} has {len(items)} items; allowed: {MAX_KEYWORDS} items", parameter=name
                )
        elif key is not None:
            nested = values.setdefault(name, {})
            if not isinstance(nested, dict) or key in nested:
                raise given_twice(name)
            nested[key] = text
        elif name in values:
            raise given_twice(name)
        else:
            values[name] = _parse_json(name, text) if name in OBJECTS and text.lstrip()[0] == "{" else text
    return values


def _split_name(spelled: str, *, allowed: Collection[str]) -> tuple[str, str | None]:
    """Return the parameter's name, and the key in brackets if the parameter is an object."""
    match = _NAME.fullmatch(spelled)
    name, key = match.groups() if match else (spelled, None)
    if name in UNSUPPORTED_KEYS:
        raise UnsupportedParameter(
            f"{name} is not supported here: {UNSUPPORTED_KEYS[name]}; allowed: {', '.join(allowed)}",
            parameter=name,
        )
    is_item = key is not None and name in LISTS and (key == "" or key.isdecimal())
    is_key = key is not None and name in OBJECTS and key != ""
    if name not in allowed or not (key is None or is_item or is_key):
        close = suggest(name, allowed)
        hint = f"did you mean {close!r}? " if close else ""
        raise UnknownParameter(
            f"there is no parameter {quote(spelled, max_characters=MAX_NAME_CHARACTERS)}; "
            f"{hint}allowed: {', '.join(allowed)}",
            parameter=spelled[:MAX_NAME_CHARACTERS],
        )
    return name, key if is_key else None


def _items(name: str, text: str) -> list[Any]:
    # A keyword may itself begin with a bracket, an item of the others cannot.
    if text.lstrip().startswith("[" if name in COMMA_LISTS else '["'):
        items = _parse_json(name, text)
        assert isinstance(items, list)
        return items
    if name not in COMMA_LISTS:
        return [text]
    return [item.strip() for item in text.split(",") if item.strip()]


def _parse_json(name: str, text: str) -> Any:
    def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(pairs)
        if len(document) < len(pairs):
            raise given_twice(f"a key of {name}")
        return document

    try:
        return json.loads(text, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as exc:
        raise InvalidParameter(
            f"{name} is {quote(text)}, which begins like JSON but is not valid ({exc}); allowed: valid JSON",
            parameter=name,
        ) from exc
