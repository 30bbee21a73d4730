"""Jobs run when the model is ready, are tried again after failures, and end."""

from __future__ import annotations

import asyncio
import io
from functools import partial
from pathlib import Path

import pytest

from hf_asr_endpoint.audio.source import WaveformReader
from hf_asr_endpoint.errors import EngineError, EngineUnavailable, Overloaded
from hf_asr_endpoint.jobs.job import JobStatus, render_job
from hf_asr_endpoint.jobs.table import JobTable
from hf_asr_endpoint.types import ANYBODY, Caller, Health, Transcription, TranscriptionOptions
from tests.fakes import FakeTranscriber
from tests.jobs.place import Place
from tests.jobs.running import (
    PlainKind,
    make_audio,
    plain_job,
    run,
    run_job,
    running_jobs,
    wait_until,
    wait_until_final,
)


class FailingTranscriber(FakeTranscriber):
    """Raises one failure for each of its first calls, and works after that."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self._failures = list(failures)
        self.n_calls = 0

    async def transcribe(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller = ANYBODY
    ) -> Transcription:
        self.n_calls += 1
        if self._failures:
            reader.close()
            raise self._failures.pop(0)
        return await super().transcribe(reader, options, caller)


class LoadingTranscriber(FakeTranscriber):
    """Loads until the test changes its state."""

    def __init__(self) -> None:
        super().__init__()
        self.state = Health(state="loading")
        self.n_health_calls = 0

    def health(self) -> Health:
        self.n_health_calls += 1
        return self.state


@pytest.fixture(autouse=True)
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hf_asr_endpoint.jobs.worker.REST_S", 0.02)


def is_running(transcriber: FakeTranscriber, n_jobs: int) -> bool:
    return transcriber.n_running == n_jobs


def test_job_succeeds_and_its_audio_is_deleted(place: Place) -> None:
    async def work() -> None:
        async with running_jobs(place, FakeTranscriber()) as jobs:
            job = await jobs.submit(plain_job(language="de"), make_audio())
            assert (job.status, render_job(job)["inference_status"]["status"]) == (JobStatus.QUEUED, "queued")
            job = await wait_until_final(jobs, job.id)
            assert job.status is JobStatus.SUCCEEDED
            document = render_job(job)
            assert document["results"] == {"text": "16000 samples", "language": "de"}
            assert document["inference_status"] == {"status": "succeeded", "runtime_ms": job.runtime_ms, "cost": 0}
            await wait_until(lambda: place.audio_files() == [])

    run(work())


def test_job_is_parsed_once_for_each_run(place: Place) -> None:
    """It was parsed for its options and again for its result."""
    kind = PlainKind()

    async def work() -> None:
        transcriber = FailingTranscriber(EngineError("out of memory"))
        async with running_jobs(place, transcriber, kinds={"plain": kind}) as jobs:
            assert (await run_job(jobs)).status is JobStatus.SUCCEEDED
            assert (kind.n_parsed, transcriber.n_calls) == (2, 2)

    run(work())


@pytest.mark.parametrize(
    ("audio", "fields", "message"),
    [
        (b"no audio at all", {}, "not audio"),
        (make_audio(31 * 16_000).getvalue(), {}, "allowed: at most 30 s"),
        (make_audio().getvalue(), {"language": "xx"}, "language is 'xx'"),
    ],
    ids=["not audio", "too long", "parameter"],
)
def test_job_with_invalid_input_fails(place: Place, audio: bytes, fields: dict[str, str], message: str) -> None:
    async def work() -> None:
        async with running_jobs(place, FakeTranscriber()) as jobs:
            submitted = await jobs.submit(plain_job(**fields), io.BytesIO(audio))
            document = render_job(await wait_until_final(jobs, submitted.id))
            assert document["inference_status"] == {"status": "failed", "runtime_ms": 0, "cost": 0}
            assert message in document["error"]
            assert "results" not in document
            await wait_until(lambda: place.audio_files() == [])

    run(work())


def test_job_succeeds_after_two_failures_of_the_model(place: Place) -> None:
    async def work() -> None:
        transcriber = FailingTranscriber(EngineError("out of memory"), EngineError("again"))
        async with running_jobs(place, transcriber) as jobs:
            job = await run_job(jobs)
            assert (job.status, job.n_failures, transcriber.n_calls) == (JobStatus.SUCCEEDED, 2, 3)

    run(work())


def test_a_server_whose_model_fails_leaves_the_job_to_another(
    shared_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took the job again at once, until that had failed three times."""
    monkeypatch.setattr("hf_asr_endpoint.jobs.worker.REST_S", 3600.0)
    monkeypatch.setattr("hf_asr_endpoint.jobs.leases.BEAT_INTERVAL_S", 0.05)

    async def work() -> None:
        sick = FailingTranscriber(*[EngineError("out of memory")] * 9)
        async with (
            running_jobs(shared_place, sick) as jobs,
            running_jobs(shared_place, LoadingTranscriber()) as other,
        ):
            first = await jobs.submit(plain_job(), make_audio())
            await wait_until(lambda: sick.n_calls == 1)
            other._worker._transcriber.state = Health(state="ready")
            second = await jobs.submit(plain_job(), make_audio())
            done = [await wait_until_final(jobs, job.id) for job in (first, second)]
            assert [(job.status, job.n_failures) for job in done] == [
                (JobStatus.SUCCEEDED, 1),
                (JobStatus.SUCCEEDED, 0),
            ]

    run(work())


class SlowToCancelTranscriber(FakeTranscriber):
    """Its first run ends only some time after it was cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.hold()
        self.first_may_end = asyncio.Event()

    async def transcribe(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller = ANYBODY
    ) -> Transcription:
        is_first = not self.callers
        try:
            return await super().transcribe(reader, options, caller)
        finally:
            if is_first:
                await self.first_may_end.wait()


def test_the_end_of_a_lost_run_leaves_the_new_run_of_the_same_job_alone(tmp_path: Path) -> None:
    async def work() -> None:
        transcriber = SlowToCancelTranscriber()
        async with running_jobs(tmp_path, transcriber) as jobs:
            job = await jobs.submit(plain_job(), make_audio())
            await wait_until(lambda: transcriber.n_running == 1)
            (lease,) = jobs._worker.leases()
            await jobs._store.call(JobTable.free_all)
            losing = asyncio.create_task(jobs._worker.lose(lease))
            jobs._worker.wake()
            await wait_until(lambda: len(jobs._worker.leases()) == 2)
            transcriber.first_may_end.set()
            await losing
            assert jobs._board.progress_of(job.id) is not None
            transcriber.release()
            await wait_until_final(jobs, job.id)

    run(work())


def test_third_failure_of_the_model_fails_the_job(place: Place) -> None:
    async def work() -> None:
        transcriber = FailingTranscriber(*[EngineError("out of memory")] * 9)
        async with running_jobs(place, transcriber) as jobs:
            job = await run_job(jobs)
            assert (job.status, transcriber.n_calls) == (JobStatus.FAILED, 3)
            assert job.outcome == {"error": "out of memory"}

    run(work())


def test_bug_fails_the_job_without_its_details(place: Place) -> None:
    async def work() -> None:
        async with running_jobs(place, FailingTranscriber(ZeroDivisionError("secret"))) as jobs:
            job = await run_job(jobs)
            assert job.outcome == {"error": "the server failed; its log says more"}

    run(work())


def test_unavailable_engine_does_not_count_as_a_failure(place: Place) -> None:
    async def work() -> None:
        transcriber = FailingTranscriber(EngineUnavailable("the server is shutting down"))
        async with running_jobs(place, transcriber) as jobs:
            job = await run_job(jobs)
            assert (job.status, job.n_failures, job.n_crashes) == (JobStatus.SUCCEEDED, 0, 0)

    run(work())


def test_jobs_wait_until_the_model_is_ready(place: Place) -> None:
    async def work() -> None:
        transcriber = LoadingTranscriber()
        async with running_jobs(place, transcriber) as jobs:
            job = await jobs.submit(plain_job(), make_audio())
            await wait_until(lambda: transcriber.n_health_calls >= 2)
            assert (await jobs.find(job.id)).status is JobStatus.QUEUED
            transcriber.state = Health(state="ready")
            assert (await wait_until_final(jobs, job.id)).status is JobStatus.SUCCEEDED

    run(work())


def test_running_and_queued_jobs_are_limited(place: Place) -> None:
    async def work() -> None:
        transcriber = FakeTranscriber()
        transcriber.hold()
        async with running_jobs(place, transcriber, max_running=2, max_queued=1) as jobs:
            for n_running in (1, 2):
                await jobs.submit(plain_job(), make_audio())
                await wait_until(partial(is_running, transcriber, n_running))
            waiting = await jobs.submit(plain_job(), make_audio())
            with pytest.raises(Overloaded, match="1 jobs are queued"):
                await jobs.submit(plain_job(), make_audio())
            assert len(place.audio_files()) == 3
            assert (await jobs.find(waiting.id)).status is JobStatus.QUEUED
            assert transcriber.n_running == 2
            transcriber.release()
            assert (await wait_until_final(jobs, waiting.id)).status is JobStatus.SUCCEEDED

    run(work())
