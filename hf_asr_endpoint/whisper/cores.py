"""How many cores this process may use: the least of affinity, control groups' CPU quotas, and physical cores.

Linux only: elsewhere nothing limits a process, and torch's own number counts physical or fast cores. Imports no
torch.

torch, OpenMP and `os.cpu_count` do not see a quota. With more threads than the quota allows, some of them are
stopped while the others wait for them: 8 threads on a quota of 4 cores were 45 times slower
(https://github.com/ollama/ollama/issues/17916).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


def count_cores(root: Path = Path("/")) -> int | None:
    """Return the number of cores, at least one; None where it is not known.

    root: where `proc` and `sys` are. Files that are absent limit nothing.
    """
    if sys.platform != "linux":
        return None
    affinity = os.sched_getaffinity(0)
    limits = [count_physical_cores(affinity, root), *(int(quota) for quota in cpu_quotas(root))]
    return max(1, min(limits))


def count_physical_cores(cpus: set[int], root: Path) -> int:
    """Return how many cores the logical processors belong to: two threads of one core share its arithmetic."""
    cores = set()
    for cpu in cpus:
        siblings = _read(root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        cores.add(siblings or str(cpu))
    return len(cores)


def list_cores(root: Path) -> list[frozenset[int]]:
    """Return the logical processors of each core that this process may use, by memory nodes; empty if not known.

    Cores that are near one another in the list are near the same memory.
    """
    if sys.platform != "linux":
        return []
    allowed = os.sched_getaffinity(0)
    cores: dict[str, set[int]] = {}
    for cpu in sorted(allowed, key=lambda cpu: (_memory_node(cpu, root), cpu)):
        siblings = _read(root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        cores.setdefault(siblings or str(cpu), set()).add(cpu)
    return [frozenset(core) for core in cores.values()]


def _memory_node(cpu: int, root: Path) -> int:
    """Return the number of the node whose memory is nearest to a logical processor."""
    folder = root / f"sys/devices/system/cpu/cpu{cpu}"
    return min((int(path.name[4:]) for path in folder.glob("node[0-9]*")), default=0)


def cpu_quotas(root: Path) -> Iterator[float]:
    """Yield the quotas, in cores, of the process's control groups and of all groups that these are in.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max) and, for version 1,
    https://docs.kernel.org/scheduler/sched-bwc.html.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        for mount in _mounts(root):
            if mount.has(controllers):
                for folder in mount.folders(PurePosixPath(group), root):
                    quota, _, period = _read_quota(folder).partition(" ")
                    if quota.isdecimal() and period.isdecimal():  # No quota is "max", or -1 in version 1.
                        yield int(quota) / int(period)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mount:
    """A hierarchy of control groups in the file system.

    is_version_2: it has all controllers. top: the group that is at `point`; a container sees no others.
    """

    is_version_2: bool
    top: PurePosixPath
    point: PurePosixPath

    def has(self, controllers: str) -> bool:
        """Say whether a line of /proc/self/cgroup with these controllers is of this hierarchy."""
        return controllers == "" if self.is_version_2 else "cpu" in controllers.split(",")

    def folders(self, group: PurePosixPath, root: Path) -> Iterator[Path]:
        """Yield the folders of a group and of those around it, as far as they can be seen."""
        inside = group.relative_to(self.top) if group.is_relative_to(self.top) else PurePosixPath()
        for part in (inside, *inside.parents):
            yield root / self.point.relative_to("/") / part


def _mounts(root: Path) -> Iterator[_Mount]:
    """Yield the hierarchies that limit processor time (proc_pid_mountinfo(5))."""
    for line in _read(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        top, point = (PurePosixPath(place) for place in before.split()[3:5])
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2" or (kind == "cgroup" and "cpu" in options.split(",")):
            yield _Mount(is_version_2=kind == "cgroup2", top=top, point=point)


def _read_quota(folder: Path) -> str:
    """Return quota and period in microseconds, as in version 2."""
    return _read(folder / "cpu.max") or (
        f"{_read(folder / 'cpu.cfs_quota_us')} {_read(folder / 'cpu.cfs_period_us')}"
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
