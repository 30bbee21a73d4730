"""What a process leaves, by its end or its death, the next one takes up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hf_asr_endpoint.errors import (
    JobsUnavailable,
)
from hf_asr_endpoint.jobs.database import open_database
from hf_asr_endpoint.jobs.job import JobStatus
from hf_asr_endpoint.jobs.store import JobStore
from hf_asr_endpoint.types import Health
from tests.fakes import FakeTranscriber
from tests.jobs.running import (
    audio_files,
    ended,
    make_audio,
    plain_job,
    run,
    running_jobs,
    until,
)


def test_stopping_leaves_running_jobs_queued_and_the_next_start_runs_them(tmp_path: Path) -> None:
    async def work() -> None:
        transcriber = FakeTranscriber()
        transcriber.hold()
        async with running_jobs(tmp_path, transcriber, max_running=1) as jobs:
            ids = [(await jobs.submit(plain_job(), make_audio())).id for _ in range(2)]
            await until(lambda: transcriber.n_running == 1)
        assert transcriber.n_cancelled == 1
        with pytest.raises(JobsUnavailable, match="shutting down"):
            await jobs.submit(plain_job(), make_audio())
        async with running_jobs(tmp_path, FakeTranscriber()) as jobs:
            for job_id in ids:
                job = await ended(jobs, job_id)
                assert (job.status, job.n_crashes) == (JobStatus.SUCCEEDED, 0)

    run(work())


def crash(directory: Path, job_id: str, *, n_times: int) -> None:
    """What processes leave that die while they run a job."""
    store = JobStore(open_database(directory))
    for _ in range(n_times):
        assert store.start(job_id)
        store.recover()
    store.close()


async def add_and_stop(directory: Path, *, n_jobs: int) -> list[str]:
    loading = FakeTranscriber(health=Health(state="loading"))
    async with running_jobs(directory, loading) as jobs:
        return [(await jobs.submit(plain_job(), make_audio())).id for _ in range(n_jobs)]


def test_a_job_that_kills_the_process_again_and_again_fails(tmp_path: Path) -> None:
    async def work() -> None:
        poison, innocent = await add_and_stop(tmp_path, n_jobs=2)
        await asyncio.to_thread(crash, tmp_path, poison, n_times=5)
        transcriber = FakeTranscriber()
        async with running_jobs(tmp_path, transcriber, max_crashes=5) as jobs:
            job = await ended(jobs, poison)
            assert job.status is JobStatus.FAILED
            assert "the server crashed 5 times" in str(job.outcome)
            assert (await ended(jobs, innocent)).status is JobStatus.SUCCEEDED
        assert len(transcriber.options) == 1

    run(work())


def test_a_job_found_running_by_two_crashes_runs_alone(tmp_path: Path) -> None:
    async def work() -> None:
        suspect, other = await add_and_stop(tmp_path, n_jobs=2)
        await asyncio.to_thread(crash, tmp_path, suspect, n_times=2)
        transcriber = FakeTranscriber()
        transcriber.hold()
        async with running_jobs(tmp_path, transcriber, max_running=2) as jobs:
            await until(lambda: transcriber.n_running == 1)
            third = await jobs.submit(plain_job(), make_audio())
            assert [(await jobs.find(job_id)).status.value for job_id in (suspect, other, third.id)] == [
                "running",
                "queued",
                "queued",
            ]
            transcriber.release()
            await ended(jobs, third.id)
            assert (await jobs.find(suspect)).n_crashes == 2

    run(work())


def test_a_suspect_job_waits_until_those_before_it_have_ended(tmp_path: Path) -> None:
    async def work() -> None:
        first, suspect = await add_and_stop(tmp_path, n_jobs=2)
        await asyncio.to_thread(crash, tmp_path, suspect, n_times=2)
        transcriber = FakeTranscriber()
        transcriber.hold()
        async with running_jobs(tmp_path, transcriber, max_running=2) as jobs:
            await until(lambda: transcriber.n_running == 1)
            await jobs.submit(plain_job(), make_audio())  # The queue is looked at again.
            await asyncio.to_thread(lambda: None)
            assert [(await jobs.find(job_id)).status.value for job_id in (first, suspect)] == ["running", "queued"]
            transcriber.release()
            assert (await ended(jobs, suspect)).status is JobStatus.SUCCEEDED

    run(work())


def test_audio_that_nobody_waits_for_is_deleted_at_the_start(tmp_path: Path) -> None:
    async def work() -> None:
        (waiting,) = await add_and_stop(tmp_path, n_jobs=1)
        (tmp_path / "audio" / "orphan").write_bytes(b"audio")
        async with running_jobs(tmp_path, FakeTranscriber(health=Health(state="loading"))):
            assert audio_files(tmp_path) == [waiting]

    run(work())


def test_a_job_whose_audio_is_gone_or_whose_kind_is_unknown_fails(tmp_path: Path) -> None:
    async def work() -> None:
        (gone,) = await add_and_stop(tmp_path, n_jobs=1)
        (tmp_path / "audio" / gone).unlink()
        async with running_jobs(tmp_path, FakeTranscriber()) as jobs:
            assert "send the job again" in str((await ended(jobs, gone)).outcome)
            other = await jobs.submit(plain_job(kind="other"), make_audio())
            assert "'other', which this server does not know; allowed: plain" in str(
                (await ended(jobs, other.id)).outcome
            )

    run(work())
