"""A form's texts to parameters: lists and objects in any of the ways in which clients write them into forms."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from typing import Any

from hf_asr_endpoint.api.fixed_parameters import Fixed
from hf_asr_endpoint.api.texts import MAX_KEYWORDS, MAX_NAME_CHARACTERS, given_twice, suggest
from hf_asr_endpoint.api.values import is_null, plain
from hf_asr_endpoint.errors import InvalidParameter, UnknownParameter
from hf_asr_endpoint.messages import quote

LISTS = ("timestamp_granularities", "include", "keywords", "languages")
COMMA_LISTS = ("timestamp_granularities", "include", "languages")
OBJECTS = ("chunking_strategy",)
PROSE = ("prompt", "hotwords")
"""Texts that are taken as they are."""

_NAME = re.compile(r"([^\[\]]+)(?:\[([^\[\]]*)\])?")
_PYTHON_LIST = re.compile(r"\s*\[\s*(?:'[^']*+'\s*(?:,\s*|(?=\])))*+\]\s*")


def collect_fields(texts: Iterable[tuple[str, str]], *, allowed: Collection[str], fixed: Fixed) -> dict[str, Any]:
    """Return each parameter's value: a text, a list of texts, or an object.

    An empty text means an absent value, and so does null, as programs spell it. Lists may be written as `name[]`,
    `name[0]` or `name`, repeated, as JSON or as Python writes it, or with commas where no comma can be part of an
    item; objects as JSON or as `name[key]`.
    allowed: names without brackets. fixed: parameters that are checked and not returned.
    Raises UnknownParameter and InvalidParameter, for names given twice too.
    """
    values: dict[str, Any] = {}
    for spelled, text in texts:
        if (parameter := fixed.get(base := spelled.partition("[")[0])) is not None:
            parameter.check(base, text)
            continue
        name, key = _split_name(spelled, allowed=allowed)
        if is_null(text):
            continue
        if name in LISTS:
            items = values.setdefault(name, [])
            items.extend(item for item in _items(name, text) if not is_null(item))
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
            values[name] = _value(name, text)
    return values


def _value(name: str, text: str) -> Any:
    if name in PROSE:
        return text
    return _parse_json(name, text) if name in OBJECTS and text.lstrip()[0] == "{" else plain(text)


def _split_name(spelled: str, *, allowed: Collection[str]) -> tuple[str, str | None]:
    """Return the parameter's name, and the key in brackets if the parameter is an object."""
    match = _NAME.fullmatch(spelled)
    name, key = match.groups() if match else (spelled, None)
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
        items = _parse_json(name, text.replace("'", '"') if _PYTHON_LIST.fullmatch(text) else text)
        assert isinstance(items, list)
        return items
    if name not in COMMA_LISTS:
        return [text]
    return [plain(item) for item in text.split(",")]


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
