"""The variables that hosting platforms set, as a source of settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource


class PlatformVariables(PydanticBaseSettingsSource):
    """The variables that hosting platforms set, such as the containers of Inference Endpoints."""

    def __call__(self) -> dict[str, Any]:
        return platform_settings(os.environ)

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return platform_settings(os.environ).get(field_name), field_name, False


def platform_settings(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings that a platform's variables give.

    HF_MODEL_DIR counts only if the directory has a model: the containers set it to their mount point even when the
    model comes from HF_MODEL_ID.
    """
    found = {
        "model": environ.get("HF_MODEL_ID"),
        "revision": environ.get("HF_REVISION"),
        "port": environ.get("PORT"),
    }
    directory = environ.get("HF_MODEL_DIR")
    if directory and (Path(directory) / "config.json").is_file():
        found["model"] = directory
    return {name: value for name, value in found.items() if value}
