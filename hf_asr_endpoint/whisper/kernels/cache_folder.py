"""The folder that compiled kernels are kept in. Knows files; imports no numba.

numba checks a function's own file for changes, but not the files of the functions it calls. So the folder is named
after the contents of all the kernels' files, and a release that changes any of them compiles again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from pathlib import Path

MAX_UNUSED_S = 30 * 24 * 3600
"""Folders of other releases are removed after this time. Until then they serve rollbacks and other servers."""


def open_cache_folder(cache_dir: Path, *, level: str) -> Path | None:
    """Return the folder for this release's kernels of a level, None when it cannot be written to.

    The release's folder is marked as used.

    Creates it if needed, and then removes the folders of other releases that have not been used for MAX_UNUSED_S.
    """
    parent = cache_dir / "kernels"
    folder = parent / _digest()
    of_level = folder / level
    try:
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        if is_new:
            _remove_unused(parent)
        of_level.mkdir(exist_ok=True)
    except OSError:
        return None
    return of_level if os.access(of_level, os.W_OK) else None


def _digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _remove_unused(parent: Path) -> None:
    for folder in parent.iterdir():
        with contextlib.suppress(FileNotFoundError):  # Another process may be removing it, too.
            if time.time() - folder.stat().st_mtime > MAX_UNUSED_S:
                shutil.rmtree(folder, ignore_errors=True)
