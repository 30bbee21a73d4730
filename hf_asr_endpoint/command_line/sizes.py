"""Sizes as people read them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def show_bytes(n_bytes: float) -> str:
    """Return a number of bytes in the largest binary unit below it, such as "1.4 GiB"."""
    for unit in ("bytes", "KiB", "MiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.0f} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.1f} GiB"


def folder_bytes(folder: Path) -> int:
    """Return the size of a folder's files, links not followed; 0 if it does not exist."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def columns(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return rows as lines, in columns as wide as their widest cell."""
    listed = list(rows)
    widths = [max(map(len, cells)) for cells in zip(*listed, strict=True)]
    return ["  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip() for row in listed]
