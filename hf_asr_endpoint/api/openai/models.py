"""The list of models, in which the one model appears once per name."""

from __future__ import annotations

from typing import Any

OWNER = "hf-asr-endpoint"


def render_model(name: str, *, created: int) -> dict[str, Any]:
    """Return one entry. created: Unix time in seconds."""
    return {"id": name, "object": "model", "created": created, "owned_by": OWNER}


def render_models(names: tuple[str, ...], *, created: int) -> dict[str, Any]:
    """Return the list."""
    return {"object": "list", "data": [render_model(name, created=created) for name in names]}
