"""Two servers on one store run each job once, also when one is killed again and again."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.context import ForkServerProcess

import pytest

from hf_asr_endpoint.jobs.job import DeliveryStatus, Job, JobStatus
from hf_asr_endpoint.types import Health
from tests.fakes import FakeTranscriber
from tests.jobs.place import Place
from tests.jobs.receiver import run_receiver
from tests.jobs.running import make_audio, plain_job, running_jobs, wait_until_delivered
from tests.jobs.servant import MAX_RUNNING, RunLog, serve

SEED = 20261129
N_JOBS = 100
MAX_LIFE_S = 0.5
DEADLINE_S = 90.0
STOP_TIMEOUT_S = 10.0


class Servants:
    """Two servers. Their processes are copies of one that has imported everything, so that they start at once."""

    def __init__(self, place: Place, runs: RunLog, lease_s: float) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.jobs.servant"])
        self._work = (place, runs, lease_s)
        self._processes = [self._start(), self._start()]

    def replace(self, index: int) -> None:
        """Kill one, and start another in its place."""
        self._kill(index)
        self._processes[index] = self._start()

    def kill_all(self) -> None:
        for index in range(len(self._processes)):
            self._kill(index)

    def _start(self) -> ForkServerProcess:
        process = self._context.Process(target=serve, args=self._work)
        process.start()
        return process

    def _kill(self, index: int) -> None:
        self._processes[index].kill()
        self._processes[index].join(STOP_TIMEOUT_S)


@contextmanager
def run_servants(place: Place, runs: RunLog, lease_s: float) -> Iterator[Servants]:
    servants = Servants(place, runs, lease_s)
    try:
        yield servants
    finally:
        servants.kill_all()


@pytest.mark.parametrize("n_kills", [0, 10])
def test_each_of_100_jobs_runs_once_and_again_only_after_a_kill(shared_place: Place, n_kills: int) -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    runs = RunLog(shared_place.directory / "runs")
    lease_s = 1.0 if n_kills else 30.0  # A busy machine lets nobody lose one that nobody has killed.

    async def work(servants: Servants, webhook: str) -> list[Job]:
        loading = FakeTranscriber(health=Health(state="loading"))
        async with running_jobs(shared_place, loading, max_queued=N_JOBS) as jobs:
            ids = []
            for index in range(N_JOBS):
                spec = replace(plain_job(webhook=webhook), owner=f"{index}")
                ids.append((await jobs.submit(spec, make_audio(160))).id)
                if index % 10 == 9 and index // 10 < n_kills:
                    await asyncio.sleep(chance.uniform(0, MAX_LIFE_S))
                    await asyncio.to_thread(servants.replace, index // 10 % 2)
            return [await wait_until_delivered(jobs, job_id) for job_id in ids]

    with run_receiver() as receiver, run_servants(shared_place, runs, lease_s) as servants:
        jobs = asyncio.run(asyncio.wait_for(work(servants, receiver.url), DEADLINE_S))
    assert {(job.status, job.delivery.status) for job in jobs} == {(JobStatus.SUCCEEDED, DeliveryStatus.DELIVERED)}
    n_runs = Counter(runs.owners())
    assert sorted(n_runs, key=int) == [f"{index}" for index in range(N_JOBS)]
    for job in jobs:
        assert n_runs[str(job.spec.owner)] <= job.n_crashes + 1
    n_again = sum(job.n_crashes for job in jobs)
    assert n_again <= n_kills * MAX_RUNNING
    delivered = Counter(received.headers["webhook-id"] for received in receiver.received)
    assert delivered.keys() == {job.id for job in jobs}
    if not n_kills:
        assert set(n_runs.values()) == set(delivered.values()) == {1}
    print(f"runs {n_runs.total()}, interrupted {n_again}, deliveries {delivered.total()}")
