"""Results reach their receivers, whatever those do, and the server's starts between."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from hf_asr_endpoint.jobs.deliverer import MAX_SENDING, MAX_SENDING_TO_ONE
from hf_asr_endpoint.jobs.document import render_job
from hf_asr_endpoint.jobs.job import DeliveryStatus, Job
from hf_asr_endpoint.jobs.jobs import Jobs
from hf_asr_endpoint.jobs.schedule import RetrySchedule
from tests.fakes import FakeTranscriber
from tests.jobs.receiver import run_receiver
from tests.jobs.running import (
    QUICK,
    ended,
    make_audio,
    plain_job,
    run,
    running_jobs,
    until,
)

N_RESULTS = MAX_SENDING + 1  # more than are on their way at a time


async def delivery_ended(jobs: Jobs, job_id: str) -> Job:
    while (job := await jobs.find(job_id)).delivery.status is DeliveryStatus.PENDING or not job.status.is_final:
        await asyncio.sleep(0.005)
    return job


def test_a_receiver_that_is_down_for_a_while_gets_the_result(tmp_path: Path) -> None:
    async def work() -> None:
        with run_receiver() as receiver:
            url = receiver.url
        async with running_jobs(tmp_path, FakeTranscriber()) as jobs:
            job_id = (await jobs.submit(plain_job(webhook=url), make_audio())).id
            while (await jobs.find(job_id)).delivery.n_attempts < 2:
                await asyncio.sleep(0.005)
            assert "ConnectError" in str((await jobs.find(job_id)).delivery.error)
            with run_receiver(int(url.split(":")[2].split("/")[0])) as receiver:
                receiver.statuses = [500, 302, 200]
                job = await delivery_ended(jobs, job_id)
            assert job.delivery.status is DeliveryStatus.DELIVERED
            assert job.delivery.error is None
            assert {received.headers["webhook-id"] for received in receiver.received} == {job_id}
            assert [received.document() for received in receiver.received] == [render_job(job)] * 3

    run(work())


@pytest.mark.parametrize(
    ("status", "schedule", "n_attempts"),
    [(410, QUICK, 1), (500, RetrySchedule(retry_for_s=0.0), 1)],
    ids=["410 Gone", "the time is up"],
)
def test_a_delivery_that_is_given_up(
    tmp_path: Path, status: int, schedule: RetrySchedule, n_attempts: int
) -> None:
    async def work() -> None:
        with run_receiver() as receiver:
            receiver.statuses = [status]
            async with running_jobs(tmp_path, FakeTranscriber(), schedule=schedule) as jobs:
                job = await delivery_ended(
                    jobs, (await jobs.submit(plain_job(webhook=receiver.url), make_audio())).id
                )
                assert (job.delivery.status, job.delivery.n_attempts) == (DeliveryStatus.GIVEN_UP, n_attempts)
                assert str(status) in str(job.delivery.error)
                assert job.outcome is not None

    run(work())


def test_a_delivery_that_was_cut_off_is_made_again_after_the_next_start(tmp_path: Path) -> None:
    async def work() -> None:
        with run_receiver() as receiver:
            receiver.statuses = [0, 200]
            async with running_jobs(tmp_path, FakeTranscriber()) as jobs:
                job = await jobs.submit(plain_job(webhook=receiver.url), make_audio())
                await until(lambda: len(receiver.received) == 1)
            async with running_jobs(tmp_path, FakeTranscriber()) as jobs:
                assert (await delivery_ended(jobs, job.id)).delivery.status is DeliveryStatus.DELIVERED
            assert [received.headers["webhook-id"] for received in receiver.received] == [job.id] * 2

    run(work())


def test_a_planned_attempt_keeps_its_time_over_a_restart(tmp_path: Path) -> None:
    schedule = RetrySchedule(retry_for_s=9999.0, first_delay_s=1000.0, chance=lambda: 1.0)

    async def work() -> None:
        with run_receiver() as receiver:
            receiver.statuses = [500]
            async with running_jobs(tmp_path, FakeTranscriber(), schedule=schedule) as jobs:
                job_id = (await jobs.submit(plain_job(webhook=receiver.url), make_audio())).id
                while not (planned := (await jobs.find(job_id)).delivery).n_attempts:
                    await asyncio.sleep(0.005)
            async with running_jobs(tmp_path, FakeTranscriber(), schedule=schedule) as jobs:
                assert (await jobs.find(job_id)).delivery == planned
                assert (planned.next_attempt_at or 0) > time.time() + 900

    run(work())


def test_an_attempt_planned_by_a_wrong_clock_is_brought_forward(tmp_path: Path) -> None:
    wrong = RetrySchedule(retry_for_s=1e9, first_delay_s=1e8, longest_delay_s=1e8)

    async def work() -> None:
        with run_receiver() as receiver:
            receiver.statuses = [500, 200]
            async with running_jobs(tmp_path, FakeTranscriber(), schedule=wrong) as jobs:
                job_id = (await jobs.submit(plain_job(webhook=receiver.url), make_audio())).id
                while not (await jobs.find(job_id)).delivery.n_attempts:
                    await asyncio.sleep(0.005)
            async with running_jobs(tmp_path, FakeTranscriber(), schedule=QUICK) as jobs:
                assert (await delivery_ended(jobs, job_id)).delivery.status is DeliveryStatus.DELIVERED

    run(work())


def test_many_results_for_a_receiver_that_hangs_do_not_hold_up_the_others(tmp_path: Path) -> None:
    async def work() -> None:
        with run_receiver() as hanging, run_receiver() as receiver:
            hanging.statuses = [0]
            async with running_jobs(tmp_path, FakeTranscriber()) as jobs:
                for _ in range(N_RESULTS):
                    await ended(jobs, (await jobs.submit(plain_job(webhook=hanging.url), make_audio())).id)
                await until(lambda: len(hanging.received) == MAX_SENDING_TO_ONE)
                job = await jobs.submit(plain_job(webhook=receiver.url), make_audio())
                assert (await delivery_ended(jobs, job.id)).delivery.status is DeliveryStatus.DELIVERED
                assert len(hanging.received) == MAX_SENDING_TO_ONE

    run(work())


def test_a_removed_job_is_not_sent_to_its_end(tmp_path: Path) -> None:
    async def work() -> None:
        with run_receiver() as receiver:
            receiver.statuses = [0]
            async with running_jobs(tmp_path, FakeTranscriber()) as jobs:
                job = await jobs.submit(plain_job(webhook=receiver.url), make_audio())
                await until(lambda: len(receiver.received) == 1)
                sending = {task for task in asyncio.all_tasks() if task.get_name() == job.id}
                assert len(sending) == 1
                assert await jobs.end(job.id) is None
                assert all(task.cancelled() for task in sending)

    run(work())
