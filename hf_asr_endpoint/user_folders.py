"""The folders for this user's files of this package (XDG Base Directory Specification). Creates none."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER_NAME = "hf-asr-endpoint"


def cache_folder() -> Path:
    """Return the folder for files that can be created again, such as converted weights."""
    return _folder("XDG_CACHE_HOME", "~/.cache")


def data_folder() -> Path:
    """Return the folder for files that would be lost, such as jobs."""
    return _folder("XDG_DATA_HOME", "~/.local/share")


def _folder(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or os.path.expanduser(default)) / FOLDER_NAME
