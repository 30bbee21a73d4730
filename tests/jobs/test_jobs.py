"""Jobs are taken, run, answered for, cancelled, refused and forgotten."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, Iterable
from functools import partial
from pathlib import Path

import pytest

from hf_asr_endpoint.errors import (
    EngineError,
    EngineUnavailable,
    InvalidParameter,
    JobsUnavailable,
    Overloaded,
    StorageFailed,
    UnknownJob,
)
from hf_asr_endpoint.jobs.document import render_job
from hf_asr_endpoint.jobs.job import DeliveryStatus, Job, JobStatus
from hf_asr_endpoint.jobs.jobs import Jobs, NoJobs
from hf_asr_endpoint.types import Health, Segment, Transcription, TranscriptionOptions, Waveform
from tests.fakes import FakeTranscriber
from tests.jobs.receiver import run_receiver
from tests.jobs.running import (
    audio_files,
    ended,
    make_audio,
    plain_job,
    run,
    running_jobs,
    until,
)


async def delivery_ended(jobs: Jobs, job_id: str) -> Job:
    while (job := await jobs.find(job_id)).delivery.status is DeliveryStatus.PENDING or not job.status.is_final:
        await asyncio.sleep(0.005)
    return job


def is_running(transcriber: FakeTranscriber, n_jobs: int) -> bool:
    return transcriber.n_running == n_jobs


async def find_for_ever(jobs: Jobs, job_id: str) -> None:
    while True:
        await jobs.find(job_id)


class FailingTranscriber(FakeTranscriber):
    """Fails at the first transcriptions, one error for each, and works from then on."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self._failures = list(failures)
        self.n_calls = 0

    async def stream(
        self, waveform: Iterable[Waveform], options: TranscriptionOptions
    ) -> AsyncGenerator[Segment | Transcription]:
        self.n_calls += 1
        if self._failures:
            raise self._failures.pop(0)
        async for event in super().stream(waveform, options):
            yield event


def test_a_job_runs_and_its_audio_goes(tmp_path: Path) -> None:
    async def work() -> None:
        async with running_jobs(tmp_path, FakeTranscriber()) as jobs:
            job = await jobs.submit(plain_job(language="de"), make_audio())
            assert (job.status, render_job(job)["inference_status"]["status"]) == (JobStatus.QUEUED, "queued")
            job = await ended(jobs, job.id)
            assert job.status is JobStatus.SUCCEEDED
            document = render_job(job)
            assert document["results"] == {"text": "16000 samples", "language": "de"}
            assert document["inference_status"] == {"status": "succeeded", "runtime_ms": job.runtime_ms, "cost": 0}
            await until(lambda: audio_files(tmp_path) == [])

    run(work())


@pytest.mark.parametrize(
    ("audio", "fields", "message"),
    [
        (b"no audio at all", {}, "not audio"),
        (make_audio(31 * 16_000).getvalue(), {}, "allowed: at most 30 s"),
        (make_audio().getvalue(), {"language": "xx"}, "language is 'xx'"),
    ],
    ids=["no audio", "too long", "parameter"],
)
def test_what_is_the_clients_fault_fails(
    tmp_path: Path, audio: bytes, fields: dict[str, str], message: str
) -> None:
    async def work() -> None:
        async with running_jobs(tmp_path, FakeTranscriber()) as jobs:
            job = await ended(jobs, (await jobs.submit(plain_job(**fields), io.BytesIO(audio))).id)
            document = render_job(job)
            assert document["inference_status"] == {"status": "failed", "runtime_ms": 0, "cost": 0}
            assert message in document["error"]
            assert "results" not in document
            await until(lambda: audio_files(tmp_path) == [])

    run(work())


def test_the_model_may_fail_twice(tmp_path: Path) -> None:
    async def work() -> None:
        transcriber = FailingTranscriber(EngineError("out of memory"), EngineError("again"))
        async with running_jobs(tmp_path, transcriber) as jobs:
            job = await ended(jobs, (await jobs.submit(plain_job(), make_audio())).id)
            assert (job.status, job.n_failures, transcriber.n_calls) == (JobStatus.SUCCEEDED, 2, 3)

    run(work())


def test_the_third_time_is_the_end(tmp_path: Path) -> None:
    async def work() -> None:
        transcriber = FailingTranscriber(*[EngineError("out of memory")] * 9)
        async with running_jobs(tmp_path, transcriber) as jobs:
            job = await ended(jobs, (await jobs.submit(plain_job(), make_audio())).id)
            assert (job.status, transcriber.n_calls) == (JobStatus.FAILED, 3)
            assert job.outcome == {"error": "out of memory"}

    run(work())


def test_a_bug_fails_without_its_details(tmp_path: Path) -> None:
    async def work() -> None:
        async with running_jobs(tmp_path, FailingTranscriber(ZeroDivisionError("secret"))) as jobs:
            job = await ended(jobs, (await jobs.submit(plain_job(), make_audio())).id)
            assert job.outcome == {"error": "the server failed; its log says more"}

    run(work())


def test_an_engine_that_goes_leaves_the_job_for_later(tmp_path: Path) -> None:
    async def work() -> None:
        transcriber = FailingTranscriber(EngineUnavailable("the server is shutting down"))
        async with running_jobs(tmp_path, transcriber) as jobs:
            job = await ended(jobs, (await jobs.submit(plain_job(), make_audio())).id)
            assert (job.status, job.n_failures, job.n_crashes) == (JobStatus.SUCCEEDED, 0, 0)

    run(work())


def test_jobs_wait_while_the_model_is_loading(tmp_path: Path) -> None:
    class Loading(FakeTranscriber):
        state = Health(state="loading")
        n_asked = 0

        def health(self) -> Health:
            self.n_asked += 1
            return self.state

    async def work() -> None:
        transcriber = Loading()
        async with running_jobs(tmp_path, transcriber) as jobs:
            job = await jobs.submit(plain_job(), make_audio())
            await until(lambda: transcriber.n_asked >= 2)
            assert (await jobs.find(job.id)).status is JobStatus.QUEUED
            transcriber.state = Health(state="ready")
            assert (await ended(jobs, job.id)).status is JobStatus.SUCCEEDED

    run(work())


def test_only_so_many_run_and_wait(tmp_path: Path) -> None:
    async def work() -> None:
        transcriber = FakeTranscriber()
        transcriber.hold()
        async with running_jobs(tmp_path, transcriber, max_running=2, max_queued=1) as jobs:
            for n_running in (1, 2):
                await jobs.submit(plain_job(), make_audio())
                await until(partial(is_running, transcriber, n_running))
            waiting = await jobs.submit(plain_job(), make_audio())
            with pytest.raises(Overloaded, match="1 jobs are queued"):
                await jobs.submit(plain_job(), make_audio())
            assert len(audio_files(tmp_path)) == 3
            assert (await jobs.find(waiting.id)).status is JobStatus.QUEUED
            assert transcriber.n_running == 2
            transcriber.release()
            assert (await ended(jobs, waiting.id)).status is JobStatus.SUCCEEDED

    run(work())


@pytest.mark.parametrize("is_running", [True, False], ids=["running", "queued"])
def test_cancelling_ends_the_work_and_tells_nobody(tmp_path: Path, is_running: bool) -> None:
    async def work(webhook: str) -> None:
        transcriber = FakeTranscriber()
        transcriber.hold()
        async with running_jobs(tmp_path, transcriber, max_running=1) as jobs:
            first = await jobs.submit(plain_job(webhook=webhook), make_audio())
            await until(lambda: transcriber.n_running == 1)
            second = await jobs.submit(plain_job(webhook=webhook), make_audio())
            chosen, other = (first, second) if is_running else (second, first)
            job = await jobs.end(chosen.id)
            assert job is not None
            assert job.status is JobStatus.CANCELLED
            assert transcriber.n_cancelled == int(is_running)
            assert audio_files(tmp_path) == [other.id]
            transcriber.release()
            await delivery_ended(jobs, other.id)
            assert await jobs.end(chosen.id) is None
            with pytest.raises(UnknownJob, match=chosen.id):
                await jobs.find(chosen.id)

    with run_receiver() as receiver:
        run(work(receiver.url))
        assert len(receiver.received) == 1


def test_jobs_that_are_refused_at_the_last_moment_leave_no_audio(tmp_path: Path) -> None:
    async def work() -> None:
        loading = FakeTranscriber(health=Health(state="loading"))
        async with running_jobs(tmp_path, loading, max_queued=1) as jobs:
            submitted = [jobs.submit(plain_job(), make_audio()) for _ in range(8)]
            results = await asyncio.gather(*submitted, return_exceptions=True)
            (taken,) = [result for result in results if isinstance(result, Job)]
            assert all(isinstance(result, Job | Overloaded) for result in results)
            assert audio_files(tmp_path) == [taken.id]

    run(work())


def test_a_full_disk_refuses_a_job_and_leaves_nothing_of_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with running_jobs(tmp_path, FakeTranscriber()) as jobs:
            (tmp_path / "audio").rmdir()
            with pytest.raises(StorageFailed, match=r"^the audio cannot be kept \(No.* allowed: a server"):
                await jobs.submit(plain_job(), make_audio())
            (tmp_path / "audio").mkdir()
            await ended(jobs, (await jobs.submit(plain_job(), make_audio())).id)

    run(work())


def test_old_jobs_are_forgotten(tmp_path: Path) -> None:
    async def work() -> None:
        async with running_jobs(tmp_path, FakeTranscriber()) as jobs:
            job = await ended(jobs, (await jobs.submit(plain_job(), make_audio())).id)
        async with running_jobs(tmp_path, FakeTranscriber(), retention_s=1e-6) as jobs:
            with pytest.raises(UnknownJob):
                await find_for_ever(jobs, job.id)

    run(work())


@pytest.mark.parametrize("webhook", ["http://10.0.0.1/", "file:///etc/passwd"])
def test_a_hostile_webhook_is_refused_before_anything_is_kept(tmp_path: Path, webhook: str) -> None:
    async def work() -> None:
        async with running_jobs(tmp_path, FakeTranscriber()) as jobs:
            with pytest.raises(InvalidParameter, match="webhook"):
                await jobs.submit(plain_job(webhook=webhook), make_audio())
        assert audio_files(tmp_path) == []

    run(work())


def test_a_server_without_jobs_says_why() -> None:
    async def work() -> None:
        jobs = NoJobs("the folder is in use")
        for call in (jobs.submit(plain_job(), make_audio()), jobs.find("R"), jobs.end("R")):
            with pytest.raises(JobsUnavailable, match="the folder is in use"):
                await call

    run(work())
