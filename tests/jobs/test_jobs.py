"""Jobs are accepted, refused, cancelled and removed."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hf_asr_endpoint.errors import InvalidParameter, JobsUnavailable, Overloaded, StorageFailed, UnknownJob
from hf_asr_endpoint.jobs.job import Job, JobStatus
from hf_asr_endpoint.jobs.jobs import Jobs, NoJobs
from hf_asr_endpoint.jobs.sqlite import FILE
from hf_asr_endpoint.types import Health
from tests.fakes import FakeTranscriber
from tests.jobs.place import Place
from tests.jobs.receiver import run_receiver
from tests.jobs.running import (
    make_audio,
    plain_job,
    resolver_threads,
    run,
    run_job,
    running_jobs,
    wait_until,
    wait_until_delivered,
)


async def find_for_ever(jobs: Jobs, job_id: str) -> None:
    while True:
        await jobs.find(job_id)


@pytest.mark.parametrize("is_running", [True, False], ids=["running", "queued"])
def test_cancelling_stops_the_work_and_delivers_nothing(place: Place, is_running: bool) -> None:
    async def work(webhook: str) -> None:
        transcriber = FakeTranscriber()
        transcriber.hold()
        async with running_jobs(place, transcriber, max_running=1) as jobs:
            first = await jobs.submit(plain_job(webhook=webhook), make_audio())
            await wait_until(lambda: transcriber.n_running == 1)
            second = await jobs.submit(plain_job(webhook=webhook), make_audio())
            chosen, other = (first, second) if is_running else (second, first)
            job = await jobs.cancel_or_remove(chosen.id)
            assert job is not None
            assert job.status is JobStatus.CANCELLED
            assert transcriber.n_cancelled == int(is_running)
            assert place.audio_files() == [other.id]
            transcriber.release()
            await wait_until_delivered(jobs, other.id)

    with run_receiver() as receiver:
        run(work(receiver.url))
        assert len(receiver.received) == 1


def test_repeated_cancellation_returns_the_cancelled_job_again(place: Place) -> None:
    """A client repeats a DELETE whose answer was lost. The repetition removed the job, and the client could not
    learn any more whether it had been cancelled or had succeeded."""

    async def work() -> None:
        async with running_jobs(place, FakeTranscriber(health=Health(state="loading"))) as jobs:
            job_id = (await jobs.submit(plain_job(), make_audio())).id
            cancelled = await jobs.cancel_or_remove(job_id)
            assert cancelled is not None
            assert await jobs.cancel_or_remove(job_id) == cancelled
            assert await jobs.find(job_id) == cancelled

    run(work())


def test_finished_job_is_removed_once(place: Place) -> None:
    async def work() -> None:
        async with running_jobs(place, FakeTranscriber()) as jobs:
            job = await run_job(jobs)
            assert await jobs.cancel_or_remove(job.id) is None
            for call in (jobs.cancel_or_remove, jobs.find):
                with pytest.raises(UnknownJob, match=job.id):
                    await call(job.id)

    run(work())


@pytest.mark.parametrize("job_id", ["R\0", "R\ufffd", "R" * 10_000])
def test_a_text_that_is_no_id_is_an_unknown_job(place: Place, job_id: str) -> None:
    """PostgreSQL refuses a text with a zero."""

    async def work() -> None:
        async with running_jobs(place, FakeTranscriber()) as jobs:
            for call in (jobs.cancel_or_remove, jobs.find):
                with pytest.raises(UnknownJob):
                    await call(job_id)

    run(work())


def test_jobs_that_are_refused_after_the_copy_leave_no_audio(place: Place) -> None:
    async def work() -> None:
        loading = FakeTranscriber(health=Health(state="loading"))
        async with running_jobs(place, loading, max_queued=1) as jobs:
            submitted = [jobs.submit(plain_job(), make_audio()) for _ in range(8)]
            results = await asyncio.gather(*submitted, return_exceptions=True)
            (accepted,) = [result for result in results if isinstance(result, Job)]
            assert all(isinstance(result, Job | Overloaded) for result in results)
            assert place.audio_files() == [accepted.id]

    run(work())


def test_a_database_that_another_program_holds_refuses_jobs_until_it_lets_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hf_asr_endpoint.jobs.sqlite.BUSY_TIMEOUT_S", 0.05)

    async def work() -> None:
        loading = FakeTranscriber(health=Health(state="loading"))
        async with running_jobs(tmp_path, loading) as jobs:
            with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(StorageFailed, match=r"^jobs cannot be kept \(database is locked\)"):
                    await jobs.submit(plain_job(), make_audio())
                assert Place(tmp_path).audio_files() == []
                other.execute("ROLLBACK")
            await jobs.submit(plain_job(), make_audio())

    run(work())


def test_disk_that_stores_no_audio_refuses_the_job(place: Place) -> None:
    async def work() -> None:
        async with running_jobs(place, FakeTranscriber()) as jobs:
            folder = place.audio_folder
            folder.rmdir()
            with pytest.raises(StorageFailed, match=r"^the audio cannot be kept \(No.* allowed: a server"):
                await jobs.submit(plain_job(), make_audio())
            folder.mkdir()
            await run_job(jobs)

    run(work())


def test_old_jobs_are_removed(place: Place) -> None:
    async def work() -> None:
        async with running_jobs(place, FakeTranscriber()) as jobs:
            job = await run_job(jobs)
        async with running_jobs(place, FakeTranscriber(), retention_s=1e-6) as jobs:
            with pytest.raises(UnknownJob):
                await find_for_ever(jobs, job.id)

    run(work())


@pytest.mark.parametrize("webhook", ["http://10.0.0.1/", "file:///etc/passwd"])
def test_hostile_webhook_is_refused_before_anything_is_stored(place: Place, webhook: str) -> None:
    async def work() -> None:
        async with running_jobs(place, FakeTranscriber()) as jobs:
            with pytest.raises(InvalidParameter, match="webhook"):
                await jobs.submit(plain_job(webhook=webhook), make_audio())
        assert place.audio_files() == []

    run(work())


def test_close_ends_the_threads_of_the_resolver(place: Place) -> None:
    async def work() -> None:
        async with running_jobs(place, FakeTranscriber(health=Health(state="loading"))) as jobs:
            await jobs.submit(plain_job(webhook="http://localhost/"), make_audio())
            assert len(resolver_threads()) == 1
        assert resolver_threads() == []

    run(work())


def test_server_without_jobs_says_why() -> None:
    async def work() -> None:
        jobs = NoJobs("the folder is in use")
        for call in (jobs.submit(plain_job(), make_audio()), jobs.find("R"), jobs.cancel_or_remove("R")):
            with pytest.raises(JobsUnavailable, match="the folder is in use"):
                await call

    run(work())
