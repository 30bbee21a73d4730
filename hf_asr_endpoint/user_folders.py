"""Where the user's programs keep things (XDG Base Directory Specification)."""

from __future__ import annotations

import os
from pathlib import Path

OWN = "hf-asr-endpoint"


def cache_folder() -> Path:
    """Return where that is kept which can be made again."""
    return _folder("XDG_CACHE_HOME", "~/.cache")


def data_folder() -> Path:
    """Return where that is kept which cannot."""
    return _folder("XDG_DATA_HOME", "~/.local/share")


def _folder(variable: str, usual: str) -> Path:
    return Path(os.environ.get(variable) or os.path.expanduser(usual)) / OWN
