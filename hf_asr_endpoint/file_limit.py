"""How many files and sockets the process may have open."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    import resource


def raise_file_limit(wanted: int) -> int:
    """Raise the process's own limit towards `wanted`, and return what it is now; `wanted` where there is none."""
    if sys.platform == "win32":
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    new = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (new, hard))
    return new
