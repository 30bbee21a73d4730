"""Two operations on one path with one method: who asks decides which of them answers."""

from __future__ import annotations

from typing import Any

Written = dict[str, Any]
"""A part of the document."""


def merge(general: Written, special: Written) -> Written:
    """Return an operation with what either takes and returns. special: what it does for some clients."""
    tag = special["tags"][0]
    responses = dict(general["responses"])
    for status, response in special["responses"].items():
        own = responses.get(status)
        responses[status] = _merge_contents(own, response, tag) if own else response
    return {
        **general,
        "tags": [*general["tags"], tag],
        "description": f"{general['description']}\n\n{special['description']}",
        "parameters": [*general["parameters"], *special["parameters"]],
        "requestBody": _merge_contents(general["requestBody"], special["requestBody"], tag),
        "responses": responses,
        "x-codeSamples": [*general["x-codeSamples"], *special["x-codeSamples"]],
    }


def _merge_contents(body: Written, special: Written, tag: str) -> Written:
    contents = dict(body["content"])
    for media_type, other in special["content"].items():
        own = contents.get(media_type)
        contents[media_type] = _merge_content(own, other, tag) if own else other
    return {**body, "content": contents}


def _merge_content(own: Written, other: Written, tag: str) -> Written:
    examples = {f"{name} ({tag})": example for name, example in other.get("examples", {}).items()}
    kinds: Written = {key: _any_of(own[key], other[key]) for key in ("schema", "x-events") if key in own}
    return {**own, **kinds, "examples": {**own.get("examples", {}), **examples}}


def _any_of(own: Written, other: Written) -> Written:
    return own if own == other else {"anyOf": [own, other]}
