"""The next server process continues the work of one that was stopped or that crashed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hf_asr_endpoint.errors import JobsUnavailable
from hf_asr_endpoint.jobs.ids import make_id
from hf_asr_endpoint.jobs.job import JobStatus
from hf_asr_endpoint.types import Health
from tests.fakes import FakeTranscriber
from tests.jobs.place import Place
from tests.jobs.running import (
    make_audio,
    plain_job,
    run,
    running_jobs,
    wait_until,
    wait_until_final,
)


def test_jobs_that_a_stop_interrupted_run_after_the_next_start(place: Place) -> None:
    async def work() -> None:
        transcriber = FakeTranscriber()
        transcriber.hold()
        async with running_jobs(place, transcriber, max_running=1) as jobs:
            ids = [(await jobs.submit(plain_job(), make_audio())).id for _ in range(2)]
            await wait_until(lambda: transcriber.n_running == 1)
        assert transcriber.n_cancelled == 1
        with pytest.raises(JobsUnavailable, match="shutting down"):
            await jobs.submit(plain_job(), make_audio())
        async with running_jobs(place, FakeTranscriber()) as jobs:
            for job_id in ids:
                job = await wait_until_final(jobs, job_id)
                assert (job.status, job.n_crashes) == (JobStatus.SUCCEEDED, 0)

    run(work())


def crash(place: Place, job_id: str, *, n_times: int) -> None:
    """Leave the table as servers do that die while they run a job."""
    database = place.open_database()
    with database.transaction() as connection:
        connection.execute("UPDATE jobs SET n_crashes = ? WHERE id = ?", (n_times, job_id))
    database.close()


async def submit_and_stop(place: Place, *, n_jobs: int) -> list[str]:
    loading = FakeTranscriber(health=Health(state="loading"))
    async with running_jobs(place, loading) as jobs:
        return [(await jobs.submit(plain_job(), make_audio())).id for _ in range(n_jobs)]


def test_job_that_crashes_the_process_repeatedly_fails(place: Place) -> None:
    async def work() -> None:
        harmful, harmless = await submit_and_stop(place, n_jobs=2)
        await asyncio.to_thread(crash, place, harmful, n_times=5)
        transcriber = FakeTranscriber()
        async with running_jobs(place, transcriber, max_crashes=5) as jobs:
            job = await wait_until_final(jobs, harmful)
            assert job.status is JobStatus.FAILED
            assert "the server crashed 5 times" in str(job.outcome)
            assert (await wait_until_final(jobs, harmless)).status is JobStatus.SUCCEEDED
        assert len(transcriber.options) == 1

    run(work())


def test_job_with_two_crashes_runs_alone(place: Place) -> None:
    async def work() -> None:
        suspect, other = await submit_and_stop(place, n_jobs=2)
        await asyncio.to_thread(crash, place, suspect, n_times=2)
        transcriber = FakeTranscriber()
        transcriber.hold()
        async with running_jobs(place, transcriber, max_running=2) as jobs:
            await wait_until(lambda: transcriber.n_running == 1)
            third = await jobs.submit(plain_job(), make_audio())
            assert [(await jobs.find(job_id)).status.value for job_id in (suspect, other, third.id)] == [
                "running",
                "queued",
                "queued",
            ]
            transcriber.release()
            await wait_until_final(jobs, third.id)
            assert (await jobs.find(suspect)).n_crashes == 2

    run(work())


def test_job_with_two_crashes_waits_for_the_running_jobs(place: Place) -> None:
    async def work() -> None:
        first, suspect = await submit_and_stop(place, n_jobs=2)
        await asyncio.to_thread(crash, place, suspect, n_times=2)
        transcriber = FakeTranscriber()
        transcriber.hold()
        async with running_jobs(place, transcriber, max_running=2) as jobs:
            await wait_until(lambda: transcriber.n_running == 1)
            await jobs.submit(plain_job(), make_audio())  # The worker checks the queue again.
            await asyncio.to_thread(lambda: None)
            assert [(await jobs.find(job_id)).status.value for job_id in (first, suspect)] == ["running", "queued"]
            transcriber.release()
            assert (await wait_until_final(jobs, suspect)).status is JobStatus.SUCCEEDED

    run(work())


def test_start_deletes_audio_without_a_job(tmp_path: Path) -> None:
    place = Place(tmp_path)

    async def work() -> None:
        (waiting,) = await submit_and_stop(place, n_jobs=1)
        for name in (make_id(), f"{make_id()}.part", "notes"):
            (tmp_path / "audio" / name).write_bytes(b"audio")
        async with running_jobs(place, FakeTranscriber(health=Health(state="loading"))):
            assert sorted(place.audio_files()) == [waiting, "notes"]

    run(work())


def test_job_without_audio_or_with_an_unknown_kind_fails(place: Place) -> None:
    async def work() -> None:
        (without_audio,) = await submit_and_stop(place, n_jobs=1)
        (place.audio_folder / without_audio).unlink()
        async with running_jobs(place, FakeTranscriber()) as jobs:
            assert "send the job again" in str((await wait_until_final(jobs, without_audio)).outcome)
            other = await jobs.submit(plain_job(kind="other"), make_audio())
            assert "'other', which this server does not know; allowed: plain" in str(
                (await wait_until_final(jobs, other.id)).outcome
            )

    run(work())
