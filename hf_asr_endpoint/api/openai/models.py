"""The entries in the list of models, in which a model appears once per name."""

from __future__ import annotations

from typing import Any

OWNER = "hf-asr-endpoint"


def render_model(name: str, *, created: int, state: str) -> dict[str, Any]:
    """Return one entry. created: Unix time in seconds. state: of the model, an extension."""
    return {"id": name, "object": "model", "created": created, "owned_by": OWNER, "status": state}
