"""OpenAI's published schemas, for the answers that have to follow them."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator

from tests.conftest import DATA

_COMPONENTS: dict[str, Any] = json.loads((DATA / "openai_schemas.json").read_text())


def check_schema(document: object, name: str) -> None:
    """Raise jsonschema's ValidationError when a document does not follow the component schema of that name."""
    Draft202012Validator({"$ref": f"#/components/schemas/{name}", **_COMPONENTS}).validate(document)
