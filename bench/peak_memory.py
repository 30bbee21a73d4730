"""How much memory a process has needed at most."""

from __future__ import annotations

import re
from pathlib import Path

_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


def peak_rss_mib(pid: int) -> float | None:
    """Return VmHWM of a process, in MiB, as Linux's /proc has it; None where there is no /proc."""
    status = Path(f"/proc/{pid}/status")
    found = _PEAK.search(status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else None
