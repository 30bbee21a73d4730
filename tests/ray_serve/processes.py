"""The processes of a server on Ray."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass


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


def engine_replicas(pid: int) -> list[int]:
    """Return the process ids of a server's engine replicas."""
    return [one.pid for one in descendants(pid) if "ServeReplica" in one.title and ":engine-0" in one.title]
