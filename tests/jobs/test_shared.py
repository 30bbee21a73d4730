"""Several servers on one store: each sees what the others do, and takes over what one leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from hf_asr_endpoint.errors import StorageFailed
from hf_asr_endpoint.jobs.job import DeliveryStatus, JobStatus
from hf_asr_endpoint.jobs.jobs import Jobs
from hf_asr_endpoint.jobs.progress import JobProgress
from hf_asr_endpoint.jobs.table import JobTable
from hf_asr_endpoint.types import Health
from tests.fakes import FakeTranscriber, make_segment
from tests.jobs.place import Place
from tests.jobs.receiver import run_receiver
from tests.jobs.running import (
    POLL_INTERVAL_S,
    make_audio,
    make_jobs,
    plain_job,
    run,
    running_jobs,
    wait_until,
    wait_until_delivered,
    wait_until_final,
)


@pytest.fixture(autouse=True)
def quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("leases", "jobs"):
        monkeypatch.setattr(f"hf_asr_endpoint.jobs.{module}.BEAT_INTERVAL_S", 0.02)


@asynccontextmanager
async def two_servers(place: Place, transcriber: FakeTranscriber) -> AsyncIterator[tuple[Jobs, Jobs]]:
    """Run a server whose model is ready, and one whose model loads for ever, so that it runs nothing."""
    loading = FakeTranscriber(health=Health(state="loading"))
    async with running_jobs(place, transcriber) as works, running_jobs(place, loading) as waits:
        yield works, waits


def test_a_job_is_run_by_another_server_than_the_one_that_took_it(shared_place: Place) -> None:
    async def work() -> None:
        async with two_servers(shared_place, FakeTranscriber()) as (_, waits):
            job = await waits.submit(plain_job(), make_audio())
            job = await wait_until_final(waits, job.id)
            assert (job.status, job.outcome) == (
                JobStatus.SUCCEEDED,
                {"results": {"text": "16000 samples", "language": "en"}},
            )
            await wait_until(lambda: shared_place.audio_files() == [])

    run(work())


def test_progress_is_told_by_every_server(shared_place: Place) -> None:
    transcriber = FakeTranscriber(segments=[make_segment("a", end=0.25), make_segment("b", end=1.0)])
    transcriber.hold()

    async def work() -> None:
        async with two_servers(shared_place, transcriber) as (_, waits):
            job = await waits.submit(plain_job(), make_audio())
            told = []
            async for seen in waits.watch(job.id):
                told.append(waits.progress(seen).fraction)
                transcriber.hold(after=1)
                if told[-1] == 0.25:
                    transcriber.release()
            assert (told[0], told[-1]) == (0.0, 1.0)
            assert 0.25 in told

    run(work())


def test_cancelling_reaches_the_server_that_runs_the_job(shared_place: Place) -> None:
    transcriber = FakeTranscriber()
    transcriber.hold()

    async def work() -> None:
        async with two_servers(shared_place, transcriber) as (works, waits):
            job = await works.submit(plain_job(), make_audio())
            await wait_until(lambda: transcriber.n_running == 1)
            cancelled = await waits.cancel_or_remove(job.id)
            assert cancelled is not None
            assert cancelled.status is JobStatus.CANCELLED
            await wait_until(lambda: transcriber.n_cancelled == 1)
            assert (await works.find(job.id)).status is JobStatus.CANCELLED
            assert shared_place.audio_files() == []

    run(work())


def test_removing_a_job_cancels_the_attempt_of_another_server(shared_place: Place) -> None:
    async def work() -> None:
        with run_receiver() as receiver:
            receiver.statuses = [0]
            async with two_servers(shared_place, FakeTranscriber()) as (_, waits):
                job = await waits.submit(plain_job(webhook=receiver.url), make_audio())
                await wait_until(lambda: len(receiver.received) == 1)
                (attempt,) = (task for task in asyncio.all_tasks() if task.get_name() == job.id)
                assert await waits.cancel_or_remove(job.id) is None
                with suppress(asyncio.CancelledError):
                    await attempt
                assert attempt.cancelled()

    run(work())


def test_two_servers_deliver_each_result_once(shared_place: Place) -> None:
    async def work() -> None:
        with run_receiver() as receiver:
            async with (
                running_jobs(shared_place, FakeTranscriber(), max_queued=20) as first,
                running_jobs(shared_place, FakeTranscriber(), max_queued=20) as second,
            ):
                jobs = [await first.submit(plain_job(webhook=receiver.url), make_audio()) for _ in range(20)]
                for job in jobs:
                    done = await wait_until_delivered(second, job.id)
                    assert (done.delivery.status, done.delivery.n_attempts) == (DeliveryStatus.DELIVERED, 1)
            delivered = [received.headers["webhook-id"] for received in receiver.received]
            assert sorted(delivered) == sorted(job.id for job in jobs)

    run(work())


def test_a_job_of_a_silent_server_is_run_by_another(shared_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The silent one comes back, finds its lease lost, and neither its result nor its end of the audio counts."""
    transcriber = FakeTranscriber()
    transcriber.hold()

    async def fail() -> None:
        raise StorageFailed("the network is down")

    async def work() -> None:
        silent = make_jobs(shared_place, transcriber, lease_s=1.0)
        beat = silent._keeper._beat
        monkeypatch.setattr(silent._keeper, "_beat", fail)
        await silent.start()
        job = await silent.submit(plain_job(), make_audio())
        await wait_until(lambda: transcriber.n_running == 1)
        other = FakeTranscriber()
        other.hold()
        async with running_jobs(shared_place, other, lease_s=1.0) as jobs:
            await wait_until(lambda: other.n_running == 1)
            monkeypatch.setattr(silent._keeper, "_beat", beat)
            await wait_until(lambda: transcriber.n_cancelled == 1)
            assert shared_place.audio_files() == [job.id]
            other.release()
            done = await wait_until_final(jobs, job.id)
            assert (done.status, done.n_crashes) == (JobStatus.SUCCEEDED, 1)
        await silent.close()

    run(work())


def test_after_an_outage_of_the_database_servers_wait_for_one_another(
    shared_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one that was back took the jobs of all others."""
    held = FakeTranscriber()
    held.hold()

    async def fail() -> None:
        raise StorageFailed("the database is down")

    async def work() -> None:
        async with running_jobs(shared_place, held, lease_s=1.6) as works:
            job = await works.submit(plain_job(), make_audio())
            await wait_until(lambda: held.n_running == 1)
            async with running_jobs(shared_place, FakeTranscriber(), lease_s=1.6) as other:
                with monkeypatch.context() as works_outage, monkeypatch.context() as other_outage:
                    works_outage.setattr(works._keeper, "_beat", fail)
                    other_outage.setattr(other._keeper, "_beat", fail)
                    await asyncio.sleep(2.0)  # Longer than a lease.
                    other_outage.undo()
                    await asyncio.sleep(0.2)
                await asyncio.sleep(1.6)
                held.release()
                assert (await wait_until_final(other, job.id)).n_crashes == 0
        assert held.n_cancelled == 0

    run(work())


def test_a_result_that_cannot_be_stored_yet_keeps_its_lease(
    shared_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = JobTable.finish
    failures = [StorageFailed("the database is down")]

    def fail_once(table: JobTable, *args: Any, **values: Any) -> bool:
        if failures:
            raise failures.pop()
        return finish(table, *args, **values)

    monkeypatch.setattr(JobTable, "finish", fail_once)
    monkeypatch.setattr("hf_asr_endpoint.jobs.store.RETRY_INTERVAL_S", 1.0)

    async def work() -> None:
        transcriber = FakeTranscriber()
        async with running_jobs(shared_place, transcriber, lease_s=0.4) as jobs:
            job = await jobs.submit(plain_job(), make_audio())
            done = await wait_until_final(jobs, job.id)
        assert (done.status, done.n_crashes, transcriber.n_finished) == (JobStatus.SUCCEEDED, 0, 1)

    run(work())


def test_a_server_that_is_stopped_leaves_what_it_could_not_store_to_the_others(
    shared_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(table: JobTable, *args: Any, **values: Any) -> bool:
        raise StorageFailed("the database is down")

    async def work() -> None:
        with monkeypatch.context() as outage:
            outage.setattr(JobTable, "finish", fail)
            transcriber = FakeTranscriber()
            async with running_jobs(shared_place, transcriber, lease_s=3600.0) as stopped:
                job = await stopped.submit(plain_job(), make_audio())
                await wait_until(lambda: transcriber.n_finished == 1)
                await asyncio.sleep(0.1)
        async with running_jobs(shared_place, FakeTranscriber()) as other:
            assert (await wait_until_final(other, job.id)).n_crashes == 0

    run(work())


def test_a_lease_that_is_renewed_does_not_run_out(shared_place: Place) -> None:
    transcriber = FakeTranscriber()
    transcriber.hold()

    async def work() -> None:
        async with running_jobs(shared_place, transcriber, lease_s=1.2) as jobs:
            job = await jobs.submit(plain_job(), make_audio())
            await wait_until(lambda: transcriber.n_running == 1)
            async with running_jobs(shared_place, FakeTranscriber(), lease_s=1.2) as other:
                await asyncio.sleep(1.8)  # Longer than a lease.
                transcriber.release()
                assert (await wait_until_final(other, job.id)).n_crashes == 0

    run(work())


def test_a_stopped_server_leaves_its_jobs_to_the_others_at_once(shared_place: Place) -> None:
    held = FakeTranscriber()
    held.hold()

    async def work() -> None:
        async with running_jobs(shared_place, held, lease_s=3600.0) as stopped:
            job = await stopped.submit(plain_job(), make_audio())
            await wait_until(lambda: held.n_running == 1)
            other = make_jobs(shared_place, FakeTranscriber())
        await other.start()
        done = await wait_until_final(other, job.id)
        assert (done.status, done.n_crashes) == (JobStatus.SUCCEEDED, 0)
        await other.close()

    run(work())


def test_the_estimate_of_a_job_that_runs_elsewhere_is_the_stored_one(shared_place: Place) -> None:
    transcriber = FakeTranscriber(segments=[make_segment("a", end=0.5), make_segment("b", end=1.0)])
    transcriber.hold(after=1)

    async def work() -> None:
        async with two_servers(shared_place, transcriber) as (works, waits):
            job = await works.submit(plain_job(), make_audio())
            while waits.progress(await waits.find(job.id)).remaining_s is None:
                await asyncio.sleep(POLL_INTERVAL_S)
            seen = await waits.find(job.id)
            assert waits.progress(seen) == JobProgress(fraction=0.5, remaining_s=seen.remaining_s)
            transcriber.release()
            await wait_until_final(waits, job.id)

    run(work())
