"""The list of models: one model, under each of its names."""

from __future__ import annotations

from typing import Any

OWNER = "hf-asr-endpoint"


def render_model(name: str, *, created: int) -> dict[str, Any]:
    """Return a model. created: in Unix seconds."""
    return {"id": name, "object": "model", "created": created, "owned_by": OWNER}


def render_models(names: tuple[str, ...], *, created: int) -> dict[str, Any]:
    """Return the list of them all."""
    return {"object": "list", "data": [render_model(name, created=created) for name in names]}
