"""JSON Schemas from the models that validate requests, and from the types of answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter

from hf_asr_endpoint.api.fixed_parameters import Fixed
from hf_asr_endpoint.api.meanings import MEANINGS

Schema = dict[str, Any]
"""A JSON Schema, with `$defs` of its own. Its title names it."""

ONE_VALUE = "x-one-value"
"""Marks a field that leaves no choice: a value that changes nothing is accepted, for other programs' sake."""

_KEYWORDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
"""pydantic leaves its own names where a validator comes before the number."""


def schema_of(kind: Any) -> Schema:
    """Return the schema of a type of answers: a TypedDict, a union of some, or a pydantic model."""
    schema: Schema = _tidy(TypeAdapter(kind).json_schema())
    return schema


def fields_schema(
    title: str,
    *models: type[BaseModel],
    before: Mapping[str, Schema] | None = None,
    fixed: Iterable[tuple[str, str]] = (),
    lists: Collection[str] = (),
    required: Collection[str] = (),
    meanings: Mapping[str, str] | None = None,
) -> Schema:
    """Return an object with the fields of models, each with its meaning, and what is allowed.

    before: other fields, in front. fixed: names of fields that leave no choice, and the words for that. lists:
    fields that a form may spell `name[]`. meanings: where they differ from MEANINGS.
    """
    means = {**MEANINGS, **(meanings or {})}
    properties, definitions = dict(before or {}), dict[str, Schema]()
    for model in models:
        schema = _tidy(model.model_json_schema())
        definitions |= schema.get("$defs", {})
        own_first = sorted(schema["properties"].items(), key=lambda item: item[0] not in model.__annotations__)
        for name, found in own_first:
            allowed = f" Allowed: {found['description']}." if "description" in found else ""
            properties[name] = {**found, "description": f"{means[name]}{allowed}"}
    for name, words in fixed:
        properties.setdefault(name, {"description": words, ONE_VALUE: True})
    schema = {"type": "object", "title": title, "properties": properties, "additionalProperties": False}
    if lists:
        items = {"description": "An item of a list, or a key of an object."}
        schema["patternProperties"] = {rf"^({'|'.join(lists)})\[\w*\]$": items}
    if required:
        schema["required"] = list(required)
    return {**schema, "$defs": definitions} if definitions else schema


def fixed_words(fixed: Fixed) -> list[tuple[str, str]]:
    """Return the names of fixed parameters, and what is said of them."""
    return [
        (
            name,
            f"Only {parameter.allowed or 'null'}: {parameter.reason}." if parameter.reason else "Changes nothing.",
        )
        for name, parameter in fixed.items()
    ]


def only_words(only: Mapping[str, tuple[tuple[str, ...], str]]) -> list[tuple[str, str]]:
    """The same for the tables of `plain_fields.check_only`."""
    return [
        (name, f"Only {' or '.join(values) or 'absent'}: {reason}.") for name, (values, reason) in only.items()
    ]


def without(schema: Schema, *names: str, title: str) -> Schema:
    """Return an object's schema with another title and without some properties, none of which is required."""
    properties = {name: found for name, found in schema["properties"].items() if name not in names}
    rest = {key: value for key, value in schema.items() if key != "required"}
    return {**rest, "title": title, "properties": properties}


def one_of(title: str, *schemas: Schema) -> Schema:
    """Return a schema that any of several matches."""
    definitions = {name: found for schema in schemas for name, found in schema.get("$defs", {}).items()}
    kinds = [{key: value for key, value in schema.items() if key != "$defs"} for schema in schemas]
    return {"title": title, "anyOf": kinds, **({"$defs": definitions} if definitions else {})}


def _tidy(schema: Any, *, is_named: bool = True) -> Any:
    """Return a schema in standard words, without null as a default, and without titles made from names."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {}
    for key, value in schema.items():
        if key in ("properties", "$defs"):
            tidy[key] = {name: _tidy(inner, is_named=key == "$defs") for name, inner in value.items()}
        elif not ((key == "default" and value is None) or (key == "title" and not is_named)):
            tidy[_KEYWORDS.get(key, key)] = _tidy(value)
    return tidy
