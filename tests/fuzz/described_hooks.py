"""What schemathesis does not find out by itself: what a recording is, and how a model is called. Loaded by it."""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import strategies

from tests.fuzz.dialects import make_sounds

schemathesis.openapi.format("binary", strategies.sampled_from(make_sounds()))


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Let most requests name a model that is served."""
    if path_parameters and "model" in path_parameters and len(str(path_parameters["model"])) % 4:
        return {**path_parameters, "model": "whisper-1"}
    return path_parameters
