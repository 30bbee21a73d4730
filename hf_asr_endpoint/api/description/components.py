"""Schemas with a name, each once in the document. References lead to them."""

from __future__ import annotations

import re
from typing import Any

from hf_asr_endpoint.api.field_schemas import Schema

LOCAL, SHARED = "#/$defs/", "#/components/schemas/"

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9]+")


class Components:
    """Collects the schemas of all dialects."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}

    def put(self, schema: Schema, *, dialect: str) -> Schema:
        """Return a schema for use in the document: a reference, if it has a title.

        dialect: its title, which is a part of the names, because dialects have types of equal names. Raises
        ValueError if a name stands for two schemas.
        """
        prefix = _NOT_IN_NAMES.sub("", dialect)
        for name, definition in schema.get("$defs", {}).items():
            self._add(f"{prefix}.{name}", _moved(definition, prefix))
        rest = {key: value for key, value in schema.items() if key != "$defs"}
        moved = _moved(rest, prefix)
        if not schema.get("title"):
            return dict(moved)
        if "anyOf" in moved:
            moved = {**moved, "anyOf": [self._named(kind, prefix) for kind in moved["anyOf"]]}
        return self._named(moved, prefix)

    def _named(self, schema: Schema, prefix: str) -> Schema:
        name = f"{prefix}.{schema['title']}"
        self._add(name, schema)
        return {"$ref": SHARED + name}

    def _add(self, name: str, schema: Schema) -> None:
        if self.schemas.setdefault(name, schema) != schema:
            raise ValueError(f"{name} is the name of two schemas")


def _moved(schema: Any, prefix: str) -> Any:
    """Return a schema whose references lead to the shared ones."""
    if isinstance(schema, list):
        return [_moved(item, prefix) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: f"{SHARED}{prefix}.{value.removeprefix(LOCAL)}"
        if key == "$ref" and isinstance(value, str)
        else _moved(value, prefix)
        for key, value in schema.items()
    }
