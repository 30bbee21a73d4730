"""Which devices get an engine each, and what each engine's process sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from hf_asr_endpoint.engine_processes.placement import name_devices, place_engines, share_of
from hf_asr_endpoint.errors import ModelUnavailable

CORES = [frozenset({core, core + 4}) for core in range(4)]
"""Four, of two threads each."""


def place(
    *devices: str,
    environ: Mapping[str, str] | None = None,
    cores: Sequence[frozenset[int]] = CORES,
    n_cores: int = 4,
) -> list[tuple[str, dict[str, str], set[int]]]:
    places = place_engines(devices, environ=environ or {}, cores=cores, n_cores=n_cores)
    return [(one.name, dict(one.variables), set(one.cpus)) for one in places]


@pytest.mark.parametrize(
    ("devices", "n_gpus", "named"),
    [
        pytest.param(("auto",), 0, (), id="auto without GPUs"),
        pytest.param(("auto",), 1, (), id="auto with one stays in the server's process"),
        pytest.param(("auto",), 2, ("cuda:0", "cuda:1"), id="auto with two"),
        pytest.param(("cuda",), 2, (), id="the first GPU in the server's process"),
        pytest.param(("cpu",), 2, (), id="one CPU"),
        pytest.param(("cpu", "cpu"), 0, ("cpu", "cpu"), id="two CPUs"),
        pytest.param(("cuda:1",), 2, ("cuda:1",), id="a certain GPU"),
        pytest.param(("MIG-a", "MIG-b"), 0, ("MIG-a", "MIG-b"), id="MIG, which CUDA does not count"),
    ],
)
def test_devices_that_get_a_process(devices: tuple[str, ...], n_gpus: int, named: tuple[str, ...]) -> None:
    assert name_devices(devices, n_gpus=n_gpus) == named


@pytest.mark.parametrize(
    ("n_gpus", "allowed"), [(0, "allowed here: auto, cpu$"), (2, "allowed here: auto, cuda:0, cuda:1$")]
)
def test_a_gpu_that_does_not_exist_is_refused(n_gpus: int, allowed: str) -> None:
    with pytest.raises(ModelUnavailable, match=f"device 'cuda:9' is not available; {allowed}"):
        name_devices(("cuda:9",), n_gpus=n_gpus)


def test_each_engine_sees_its_gpu_alone_and_gets_a_share_of_threads() -> None:
    names = ("cuda:0", "cuda:1", "GPU-8932f937", "MIG-c7384736")
    assert [(name, variables["CUDA_VISIBLE_DEVICES"]) for name, variables, _ in place(*names)] == [
        ("cuda:0", "0"),
        ("cuda:1", "1"),
        ("GPU-8932f937", "GPU-8932f937"),
        ("MIG-c7384736", "MIG-c7384736"),
    ]
    assert {variables["OMP_NUM_THREADS"] for _, variables, _ in place("cuda:0", "cuda:1")} == {"2"}


def test_numbers_count_the_gpus_that_the_server_sees() -> None:
    """Whoever starts it may have given it some of them, by numbers or by names."""
    seen = {"CUDA_VISIBLE_DEVICES": "3, GPU-8932f937"}
    assert [variables["CUDA_VISIBLE_DEVICES"] for _, variables, _ in place("cuda:0", "cuda:1", environ=seen)] == [
        "3",
        "GPU-8932f937",
    ]


def test_engines_on_cpus_share_the_cores() -> None:
    threads = {"OMP_NUM_THREADS": "2"}
    assert place("cpu", "cpu") == [("cpu-0", threads, {0, 1, 4, 5}), ("cpu-1", threads, {2, 3, 6, 7})]


def test_a_number_of_threads_that_is_set_stays() -> None:
    assert [variables for _, variables, _ in place("cpu", "cpu", environ={"OMP_NUM_THREADS": "1"})] == [{}, {}]


def test_a_quota_below_the_cores_is_shared() -> None:
    assert {variables["OMP_NUM_THREADS"] for _, variables, _ in place("cpu", "cpu", n_cores=2)} == {"1"}


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_every_core_has_one_engine(n: int) -> None:
    shares = [share_of(CORES, index=index, n=n) for index in range(n)]
    assert sorted(cpu for share in shares for cpu in share) == list(range(8))
    assert max(map(len, shares)) - min(map(len, shares)) <= 2


def test_more_engines_than_cores_share_cores() -> None:
    assert [share_of(CORES[:2], index=index, n=3) for index in range(3)] == [CORES[0], CORES[1], CORES[0]]
    assert share_of([], index=0, n=2) == frozenset(), "where cores are not known"
