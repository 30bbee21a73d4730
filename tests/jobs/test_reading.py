"""Jobs whose audio cannot be read are tried again, less and less often, and then fail."""

from __future__ import annotations

from typing import BinaryIO

import pytest

from hf_asr_endpoint.errors import StorageFailed
from hf_asr_endpoint.jobs.job import JobStatus
from hf_asr_endpoint.jobs.spool import Spool
from hf_asr_endpoint.types import Health
from tests.fakes import FakeTranscriber
from tests.jobs.place import Place
from tests.jobs.receiver import run_receiver
from tests.jobs.running import (
    make_audio,
    plain_job,
    run,
    run_job,
    running_jobs,
    wait_until_delivered,
    wait_until_final,
)
from tests.jobs.test_worker import LoadingTranscriber


@pytest.fixture(autouse=True)
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hf_asr_endpoint.jobs.worker.REST_S", 0.02)


def test_a_job_whose_audio_cannot_be_read_now_is_queued_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_file = Spool.open
    failures = [StorageFailed("the disk does not answer")] * 4

    def fail(spool: Spool, job_id: str) -> BinaryIO:
        if failures:
            raise failures.pop()
        return open_file(spool, job_id)

    monkeypatch.setattr(Spool, "open", fail)
    monkeypatch.setattr("hf_asr_endpoint.jobs.worker.READ_PAUSES_S", (0.02, 0.03, 0.04, 0.05))

    async def work() -> None:
        async with running_jobs(place, FakeTranscriber()) as jobs:
            job = await run_job(jobs)
            assert (job.status, job.n_failures, job.n_crashes) == (JobStatus.SUCCEEDED, 0, 0)
            assert job.n_unread == 4
        assert not failures

    run(work())


def test_a_job_whose_audio_can_never_be_read_fails_and_keeps_no_other_waiting(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was tried every three seconds without end, always before all younger jobs."""
    open_file = Spool.open
    unreadable: list[str] = []

    def fail(spool: Spool, job_id: str) -> BinaryIO:
        if job_id in unreadable:
            raise StorageFailed("the job's audio cannot be read (Input/output error)")
        return open_file(spool, job_id)

    monkeypatch.setattr(Spool, "open", fail)
    monkeypatch.setattr("hf_asr_endpoint.jobs.worker.READ_PAUSES_S", (0.02, 1.5))

    async def work() -> None:
        with run_receiver() as receiver:
            transcriber = LoadingTranscriber()
            async with running_jobs(place, transcriber) as jobs:
                broken = await jobs.submit(plain_job(webhook=receiver.url), make_audio())
                unreadable.append(broken.id)
                younger = await jobs.submit(plain_job(), make_audio())
                transcriber.state = Health(state="ready")
                assert (await wait_until_final(jobs, younger.id)).status is JobStatus.SUCCEEDED
                assert (await jobs.find(broken.id)).status is not JobStatus.FAILED
                job = await wait_until_delivered(jobs, broken.id)
        assert (job.status, job.n_unread) == (JobStatus.FAILED, 2)
        [received] = receiver.received
        assert "(Input/output error), after 3 attempts in" in received.document()["error"]

    run(work())
