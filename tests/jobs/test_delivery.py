"""Results are delivered whatever the receivers do, and across restarts of the server."""

from __future__ import annotations

import asyncio
import math
import time
from itertools import pairwise
from pathlib import Path

import pytest

from hf_asr_endpoint.jobs.delivery import (
    MAX_ATTEMPTS_IN_FLIGHT,
    MAX_ATTEMPTS_PER_RECEIVER,
    RetrySchedule,
)
from hf_asr_endpoint.jobs.job import DeliveryStatus, render_job
from tests.fakes import FakeTranscriber
from tests.jobs.place import Place
from tests.jobs.receiver import run_receiver
from tests.jobs.running import (
    POLL_INTERVAL_S,
    QUICK,
    make_audio,
    make_jobs,
    plain_job,
    run,
    running_jobs,
    wait_until,
    wait_until_delivered,
    wait_until_final,
)

N_RESULTS = MAX_ATTEMPTS_IN_FLIGHT + 1
DAY_S = 86_400.0


def test_receiver_that_was_down_gets_the_result(place: Place) -> None:
    async def work() -> None:
        with run_receiver(is_down=True) as receiver:
            async with running_jobs(place, FakeTranscriber()) as jobs:
                job_id = (await jobs.submit(plain_job(webhook=receiver.url), make_audio())).id
                while (await jobs.find(job_id)).delivery.n_attempts < 2:
                    await asyncio.sleep(POLL_INTERVAL_S)
                assert "ConnectError" in str((await jobs.find(job_id)).delivery.error)
                receiver.statuses = [500, 302, 200]
                receiver.come_up()
                job = await wait_until_delivered(jobs, job_id)
            assert job.delivery.status is DeliveryStatus.DELIVERED
            assert job.delivery.error is None
            assert {received.headers["webhook-id"] for received in receiver.received} == {job_id}
            assert [received.document() for received in receiver.received] == [render_job(job)] * 3

    run(work())


@pytest.mark.parametrize(
    ("status", "schedule"),
    [(410, QUICK), (500, RetrySchedule(retry_for_s=0.0))],
    ids=["410 Gone", "time is up"],
)
def test_delivery_is_given_up(place: Place, status: int, schedule: RetrySchedule) -> None:
    async def work() -> None:
        with run_receiver() as receiver:
            receiver.statuses = [status]
            async with running_jobs(place, FakeTranscriber(), schedule=schedule) as jobs:
                submitted = await jobs.submit(plain_job(webhook=receiver.url), make_audio())
                job = await wait_until_delivered(jobs, submitted.id)
                assert (job.delivery.status, job.delivery.n_attempts) == (DeliveryStatus.GIVEN_UP, 1)
                assert str(status) in str(job.delivery.error)
                assert job.outcome is not None

    run(work())


def test_interrupted_attempt_is_repeated_after_a_restart(place: Place) -> None:
    async def work() -> None:
        with run_receiver() as receiver:
            receiver.statuses = [0, 200]
            async with running_jobs(place, FakeTranscriber()) as jobs:
                job = await jobs.submit(plain_job(webhook=receiver.url), make_audio())
                await wait_until(lambda: len(receiver.received) == 1)
            async with running_jobs(place, FakeTranscriber()) as jobs:
                assert (await wait_until_delivered(jobs, job.id)).delivery.status is DeliveryStatus.DELIVERED
            assert [received.headers["webhook-id"] for received in receiver.received] == [job.id] * 2

    run(work())


def test_restart_does_not_change_the_time_of_the_next_attempt(place: Place) -> None:
    schedule = RetrySchedule(retry_for_s=9999.0, first_delay_s=1000.0, draw=lambda: 1.0)

    async def work() -> None:
        with run_receiver() as receiver:
            receiver.statuses = [500]
            async with running_jobs(place, FakeTranscriber(), schedule=schedule) as jobs:
                job_id = (await jobs.submit(plain_job(webhook=receiver.url), make_audio())).id
                while not (planned := (await jobs.find(job_id)).delivery).n_attempts:
                    await asyncio.sleep(POLL_INTERVAL_S)
            async with running_jobs(place, FakeTranscriber(), schedule=schedule) as jobs:
                assert (await jobs.find(job_id)).delivery == planned
                assert (planned.next_attempt_at or 0) > time.time() + 900

    run(work())


def test_attempt_that_a_wrong_clock_planned_is_rescheduled(place: Place) -> None:
    wrong = RetrySchedule(retry_for_s=1e9, first_delay_s=1e8, max_delay_s=1e8)

    async def work() -> None:
        with run_receiver() as receiver:
            receiver.statuses = [500, 200]
            async with running_jobs(place, FakeTranscriber(), schedule=wrong) as jobs:
                job_id = (await jobs.submit(plain_job(webhook=receiver.url), make_audio())).id
                while not (await jobs.find(job_id)).delivery.n_attempts:
                    await asyncio.sleep(POLL_INTERVAL_S)
            async with running_jobs(place, FakeTranscriber(), schedule=QUICK) as jobs:
                assert (await wait_until_delivered(jobs, job_id)).delivery.status is DeliveryStatus.DELIVERED

    run(work())


def test_receiver_that_does_not_answer_does_not_delay_others(place: Place) -> None:
    async def work() -> None:
        with run_receiver() as hanging, run_receiver() as receiver:
            hanging.statuses = [0]
            async with running_jobs(place, FakeTranscriber()) as jobs:
                for _ in range(N_RESULTS):
                    job = await jobs.submit(plain_job(webhook=hanging.url), make_audio())
                    await wait_until_final(jobs, job.id)
                await wait_until(lambda: len(hanging.received) == MAX_ATTEMPTS_PER_RECEIVER)
                job = await jobs.submit(plain_job(webhook=receiver.url), make_audio())
                assert (await wait_until_delivered(jobs, job.id)).delivery.status is DeliveryStatus.DELIVERED
                assert len(hanging.received) == MAX_ATTEMPTS_PER_RECEIVER

    run(work())


def test_removing_a_job_cancels_its_attempt(place: Place) -> None:
    async def work() -> None:
        with run_receiver() as receiver:
            receiver.statuses = [0]
            async with running_jobs(place, FakeTranscriber()) as jobs:
                job = await jobs.submit(plain_job(webhook=receiver.url), make_audio())
                await wait_until(lambda: len(receiver.received) == 1)
                attempts = {task for task in asyncio.all_tasks() if task.get_name() == job.id}
                assert len(attempts) == 1
                assert await jobs.cancel_or_remove(job.id) is None
                assert all(task.cancelled() for task in attempts)

    run(work())


def attempt_times(*, drawn: float) -> list[float]:
    """Return when a receiver that is always down gets attempts, in seconds after the end of the job."""
    schedule = RetrySchedule(retry_for_s=DAY_S, draw=lambda: drawn)
    times = [0.0]
    while (delay_s := schedule.delay_s(n_attempts=len(times))) is not None:
        times.append(times[-1] + delay_s)
    return times


def test_delays_double_to_an_hour_until_a_day_is_over() -> None:
    delays = [later - earlier for earlier, later in pairwise(attempt_times(drawn=1.0))]
    assert delays[:4] == [5, 10, 20, 40]
    assert set(delays[10:]) == {3600.0}
    assert DAY_S - 3600 < attempt_times(drawn=0.5)[-1] <= DAY_S


def test_jitter_shortens_a_delay_by_at_most_half() -> None:
    schedule = RetrySchedule(retry_for_s=DAY_S, draw=lambda: 0.0)
    assert schedule.delay_s(n_attempts=1) == 2.5
    assert len({RetrySchedule(retry_for_s=DAY_S).delay_s(n_attempts=9) for _ in "abc"}) > 1


def test_the_first_failure_after_the_time_is_up_is_the_last() -> None:
    """A receiver of many results that never answers got each of them for weeks."""
    schedule = RetrySchedule(retry_for_s=DAY_S)
    assert schedule.delay_s(n_attempts=1, age_s=DAY_S - 1) is not None
    assert schedule.delay_s(n_attempts=1, age_s=DAY_S + 1) is None


def test_a_result_of_before_a_long_outage_gets_one_attempt(place: Place) -> None:
    schedule = RetrySchedule(retry_for_s=0.5, first_delay_s=0.1, max_delay_s=0.1)

    async def work() -> None:
        with run_receiver() as receiver:
            receiver.statuses = [0, 500]
            async with running_jobs(place, FakeTranscriber(), schedule=schedule) as jobs:
                job = await jobs.submit(plain_job(webhook=receiver.url), make_audio())
                await wait_until(lambda: len(receiver.received) == 1)
            await asyncio.sleep(0.6)
            async with running_jobs(place, FakeTranscriber(), schedule=schedule) as jobs:
                delivery = (await wait_until_delivered(jobs, job.id)).delivery
            assert (delivery.status, delivery.n_attempts) == (DeliveryStatus.GIVEN_UP, 1)

    run(work())


@pytest.mark.parametrize("n_attempts", [60, 5_000])
def test_many_attempts_do_not_overflow(n_attempts: int) -> None:
    schedule = RetrySchedule(retry_for_s=math.inf, draw=lambda: 1.0)
    assert schedule.delay_s(n_attempts=n_attempts) == 3600.0


def test_a_delivery_loop_that_is_woken_as_it_is_cancelled_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In Python 3.11, asyncio.wait_for may swallow the cancellation."""

    async def wait_a_minute() -> float:
        return 60.0

    async def work() -> None:
        jobs = make_jobs(tmp_path, FakeTranscriber())
        monkeypatch.setattr(jobs._delivery, "_send_due", wait_a_minute)
        for n_turns in range(6):
            loop = asyncio.create_task(jobs._delivery.run())
            await asyncio.sleep(0.01)
            jobs._delivery.wake()
            for _ in range(n_turns):
                await asyncio.sleep(0)
            loop.cancel()
            done, _ = await asyncio.wait([loop], timeout=30.0)
            assert done
        await jobs.close()

    run(work())
