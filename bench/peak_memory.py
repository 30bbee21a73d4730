"""The memory and the processor time of a process, from Linux's /proc."""

from __future__ import annotations

import os
import re
from pathlib import Path

_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
_NOW = re.compile(r"^VmRSS:\s+(\d+) kB$", re.MULTILINE)


def peak_rss_mib(pid: int) -> float | None:
    """Return VmHWM of a process in MiB; None without /proc."""
    status = Path(f"/proc/{pid}/status")
    found = _PEAK.search(status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else None


def rss_mib(pid: int) -> float | None:
    """Return VmRSS of a process in MiB; None without /proc."""
    status = Path(f"/proc/{pid}/status")
    found = _NOW.search(status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else None


def reset_peak_rss(pid: int) -> None:
    """Reset VmHWM to the current memory (proc(5), clear_refs)."""
    clear_refs = Path(f"/proc/{pid}/clear_refs")
    if clear_refs.exists():
        clear_refs.write_text("5")


def cpu_s(pid: int) -> float | None:
    """Return the processor time of a process in seconds (proc(5), stat); None without /proc."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return None
    fields = stat.read_text().rpartition(")")[2].split()  # after the name, which may have blanks
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
