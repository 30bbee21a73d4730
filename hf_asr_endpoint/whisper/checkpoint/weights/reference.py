"""The ways to name a model: "embedded:NAME", a local directory or a name on the Hub. Opens no files."""

from __future__ import annotations

import os
from pathlib import Path

from hf_asr_endpoint.whisper.checkpoint.weights.embedded import PREFIX, find_embedded


def is_path(reference: str) -> bool:
    """Return whether `reference` means a local directory; if not, it is a name on the Hub."""
    return reference.startswith((".", "~", os.sep)) or reference.count("/") > 1 or Path(reference).is_dir()


def model_names(reference: str) -> tuple[str, ...]:
    """Return the names by which clients may request the model, the usual one first.

    Raises ModelUnavailable for an embedded model that does not exist.
    """
    if reference.startswith(PREFIX):
        name = find_embedded(reference).hub_id
        return name, name.split("/")[-1], reference
    last = Path(reference).name or reference
    return tuple(dict.fromkeys((last, reference) if is_path(reference) else (reference, last)))
