"""The names of the deployments, which Ray's dashboard and metrics show."""

from __future__ import annotations

import re

APPLICATION = "hf-asr"
HTTP = "http"
BOARD = "board"

_OTHER = re.compile(r"[^A-Za-z0-9._-]+")


def engine_name(index: int, model: str) -> str:
    """Return the name of a model's engines. index: of the model, because two ids may differ in signs alone."""
    return f"engine-{index}-{_OTHER.sub('-', model)}"
