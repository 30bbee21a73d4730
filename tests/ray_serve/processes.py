"""The processes of a server on Ray."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BUSY_S = 0.3
BUSY_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """title: as Ray sets it."""

    pid: int
    title: str


def descendants(pid: int) -> Iterator[Process]:
    """Yield the processes below one. Only they may be ended: others on this machine have Ray, too."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[Process]] = {}
    for line in listed.splitlines():
        own, parent, title = line.split(maxsplit=2)
        children.setdefault(int(parent), []).append(Process(pid=int(own), title=title))
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            yield child
            waiting.append(child.pid)


def engine_replicas(pid: int, *, model: int = 0) -> list[int]:
    """Return the process ids of a server's engine replicas. model: its index."""
    return _replicas(pid, f":engine-{model}")


def http_replicas(pid: int) -> list[int]:
    """Return the process ids of a server's HTTP replicas."""
    return _replicas(pid, ":http")


def is_alive(pid: int) -> bool:
    """Return whether a process runs: one that has ended may stay in the table until its parent asks for it."""
    try:
        return _stat(pid)[0] != "Z"
    except FileNotFoundError:
        return False


def busiest(pids: list[int]) -> int:
    """Wait until a process has computed for BUSY_S, and return its id."""
    before = {pid: _cpu_s(pid) for pid in pids}
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while time.monotonic() < deadline:
        worked = {pid: _cpu_s(pid) - before[pid] for pid in pids}
        busy = max(pids, key=lambda pid: worked[pid])
        if worked[busy] >= BUSY_S:
            return busy
        time.sleep(0.05)
    raise AssertionError("no process is busy")


def _replicas(pid: int, name: str) -> list[int]:
    return [one.pid for one in descendants(pid) if "ServeReplica" in one.title and name in one.title]


def _cpu_s(pid: int) -> float:
    """Return the time that a process has computed, in seconds."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat behind the name: the state is the first. Source: proc_pid_stat(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
