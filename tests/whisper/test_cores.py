"""The number of cores: files as Linux and its containers have them, and a real group with a quota."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hf_asr_endpoint.whisper.cores import count_cores, count_physical_cores, cpu_quotas, list_cores

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has control groups")

CPU_TIME = Path("/sys/fs/cgroup/cpu")
VERSION_1 = "33 32 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct"
VERSION_2 = "32 25 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"


def files(root: Path, contents: Mapping[str, str]) -> Path:
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("contents", "quotas"),
    [
        pytest.param({}, [], id="nothing is mounted"),
        pytest.param(
            {
                "proc/self/mountinfo": VERSION_2,
                "proc/self/cgroup": "0::/",
                "sys/fs/cgroup/cpu.max": "150000 100000",
            },
            [1.5],
            id="version 2, a container with its own namespace",
        ),
        pytest.param(
            {"proc/self/mountinfo": VERSION_2, "proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"},
            [],
            id="version 2, no quota",
        ),
        pytest.param(
            {
                "proc/self/mountinfo": VERSION_2,
                "proc/self/cgroup": "0::/system.slice/asr.service",
                "sys/fs/cgroup/system.slice/asr.service/cpu.max": "max 100000",
                "sys/fs/cgroup/system.slice/cpu.max": "400000 100000",
            },
            [4],
            id="version 2, a quota of the group around it",
        ),
        pytest.param(
            {
                "proc/self/mountinfo": f"{VERSION_1}\n{VERSION_2.replace('cgroup rw', 'cgroup/unified rw')}",
                "proc/self/cgroup": "5:cpuacct,cpu:/jobs/a\n0::/",
                "sys/fs/cgroup/cpu,cpuacct/jobs/a/cpu.cfs_quota_us": "250000",
                "sys/fs/cgroup/cpu,cpuacct/jobs/a/cpu.cfs_period_us": "50000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            [5],
            id="version 1 beside version 2",
        ),
        pytest.param(
            {
                "proc/self/mountinfo": VERSION_1.replace(" / /sys", " /docker/4f2a /sys"),
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/4f2a",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            [2],
            id="version 1, a container that sees its host's path",
        ),
    ],
)
def test_quotas_are_found(contents: Mapping[str, str], quotas: list[float], tmp_path: Path) -> None:
    assert list(cpu_quotas(files(tmp_path, contents))) == quotas


@pytest.mark.parametrize(("quota", "n_cores"), [("150000 100000", 1), ("50000 100000", 1), ("max 100000", None)])
def test_a_quota_is_rounded_down_to_whole_cores(quota: str, n_cores: int | None, tmp_path: Path) -> None:
    contents = {"proc/self/mountinfo": VERSION_2, "proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": quota}
    assert count_cores(files(tmp_path, contents)) == (n_cores or len(os.sched_getaffinity(0)))


def test_threads_of_one_core_count_once(tmp_path: Path) -> None:
    siblings = {0: "0,4", 1: "1,5", 4: "0,4", 5: "1,5"}
    root = files(
        tmp_path,
        {f"sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list": text for n, text in siblings.items()},
    )
    assert count_physical_cores({0, 1, 4, 5}, root) == 2
    assert count_physical_cores({0, 4}, root) == 1
    assert count_physical_cores({0, 9}, root) == 2, "of one that is not described nothing is known"


@pytest.fixture
def one_core() -> Iterator[Path]:
    """A control group that is limited to one core."""
    group = CPU_TIME / f"hf-asr-{os.getpid()}"
    try:
        group.mkdir()
        (group / "cpu.cfs_quota_us").write_text("100000")
    except OSError:
        pytest.skip("this machine lets nobody make a control group of version 1")
    yield group
    group.rmdir()


def test_cores_are_listed_by_memory_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four cores of two threads, on two nodes in turns, of which this process may use all but one thread."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(7)))
    for cpu in range(8):
        folder = f"sys/devices/system/cpu/cpu{cpu}"
        files(tmp_path, {f"{folder}/topology/thread_siblings_list": f"{cpu % 4},{cpu % 4 + 4}"})
        (tmp_path / folder / f"node{cpu % 2}").mkdir()
    assert list_cores(tmp_path) == [{0, 4}, {2, 6}, {1, 5}, {3}]
    assert list_cores(tmp_path / "none") == [{cpu} for cpu in range(7)], "files that are absent group nothing"


PRINT_CORES = """
import os, sys
if sys.argv[1:]:
    open(f"{sys.argv[1]}/cgroup.procs", "w").write(str(os.getpid()))
from hf_asr_endpoint.whisper.threads import N_CORES, use_all_cores
import torch
use_all_cores()
print(N_CORES, torch.get_num_threads())
"""


@pytest.mark.parametrize(("omp_num_threads", "printed"), [("", "1 1"), ("2", "2 2")])
def test_a_process_limited_to_one_core_computes_in_one_thread(
    one_core: Path, omp_num_threads: str, printed: str
) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.endswith("NUM_THREADS")}
    if omp_num_threads:
        environment["OMP_NUM_THREADS"] = omp_num_threads
    command = [sys.executable, "-c", PRINT_CORES, str(one_core)]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert output.strip() == printed
