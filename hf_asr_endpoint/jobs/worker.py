"""Runs queued jobs, oldest first and a few at a time, next to the requests that are answered directly."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from hf_asr_endpoint.audio.source import EncodedAudio, open_waveform
from hf_asr_endpoint.errors import (
    AsrError,
    AudioLost,
    EngineError,
    EngineUnavailable,
    InvalidParameter,
    StorageFailed,
)
from hf_asr_endpoint.jobs.job import Job, JobKind, JobLimits, JobStatus
from hf_asr_endpoint.jobs.leased_tasks import LeasedTasks
from hf_asr_endpoint.jobs.progress import NOT_BEGUN, JobProgress, ProgressBoard
from hf_asr_endpoint.jobs.store import JobStore
from hf_asr_endpoint.jobs.table import JobTable
from hf_asr_endpoint.tracing import trace_part
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import Caller, Progress, Transcription, TranscriptionOptions

logger = logging.getLogger(__name__)

READY_INTERVAL_S = 0.2  # between checks whether the model is loaded
REST_S = 3.0
"""How long a server takes no job after one that it queued again, so that one that is sick does not fail them all.

Longer than BEAT_INTERVAL_S: until then, every other server has looked for work.
"""
READ_PAUSES_S = (3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 600.0, 600.0)
"""Between attempts to read a job's audio, 39 minutes in all: a storage that is down for less fails no job."""
N_CRASHES_BEFORE_ALONE = 2
"""After this many crashes while it was running, a job runs alone on its server: its next crash stops no other."""

ANY_N_CRASHES = 2**31 - 1

BUG = "the server failed; its log says more"


class Worker:
    """Starts jobs while the model is ready. Every job that it starts ends, or is queued again."""

    def __init__(
        self,
        store: JobStore,
        transcriber: Transcriber,
        *,
        kinds: Mapping[str, JobKind],
        limits: JobLimits,
        on_result: Callable[[], None],
        on_audio: Callable[[str | None, float], None],
        board: ProgressBoard,
    ) -> None:
        """kinds: by their names. on_result: called when a job has succeeded or failed.

        on_audio: called with a job's owner and the seconds of its audio, when that has been transcribed.
        """
        self._store = store
        self._transcriber = transcriber
        self._kinds = kinds
        self._limits = limits
        self._on_result = on_result
        self._on_audio = on_audio
        self._board = board
        self._changed = asyncio.Event()  # A job was added, or one has ended.
        self._tasks = LeasedTasks(store, on_end=self._forget)
        self._n_resting = 0  # the tasks that keep this server from taking jobs
        self._is_exclusive = False  # The running job runs alone.

    def wake(self) -> None:
        """Check the queue for new jobs."""
        self._changed.set()

    async def run(self) -> None:
        """Start jobs until cancelled; then stop the running ones and queue them again."""
        try:
            while True:
                self._changed.clear()
                await self._wait_until_ready()
                wait_s = await self._start_jobs()
                with contextlib.suppress(TimeoutError):
                    # Not wait_for, which in Python 3.11 may ignore that the task is cancelled.
                    async with asyncio.timeout(wait_s):
                        await self._changed.wait()
        finally:
            await self._tasks.cancel_all()

    def leases(self) -> dict[str, JobProgress]:
        """Return how far the running jobs are."""
        return {
            lease: self._board.progress_of(job_id) or NOT_BEGUN for lease, job_id in self._tasks.held().items()
        }

    async def lose(self, lease: str) -> None:
        """Stop a job that was cancelled or given to another server."""
        await self._tasks.lose(lease)

    async def stop(self, job_id: str) -> None:
        """Stop a job, if it runs here. Its row must have been changed to `cancelled` before."""
        await self._tasks.cancel(job_id)

    async def _wait_until_ready(self) -> None:
        while self._transcriber.health().state != "ready":
            await asyncio.sleep(READY_INTERVAL_S)

    async def _start_jobs(self) -> float | None:
        """Start queued jobs until the maximum is running.

        Returns the seconds until one has rested, or None if only a new job or the end of one can make one start.
        """
        while not self._n_resting and not self._is_exclusive and len(self._tasks) < self._limits.max_running:
            # One that is to run alone is the oldest, so it is next when the running jobs have ended.
            max_crashes = N_CRASHES_BEFORE_ALONE - 1 if len(self._tasks) else ANY_N_CRASHES
            claim = partial(JobTable.claim, lease_s=self._limits.lease_s, max_crashes=max_crashes)
            lease, found = await self._tasks.claim(claim)
            job = found.job
            if job is None:
                return found.due_in_s
            if self._n_resting:  # It began meanwhile.
                await self._store.call_until_stored(partial(JobTable.free, lease=lease))
                break
            self._is_exclusive = job.n_crashes >= N_CRASHES_BEFORE_ALONE
            self._board.begin(job.id)
            self._tasks.start(lease, job.id, self._run_job(job, lease))
        return None

    def _forget(self, job_id: str) -> None:
        if not self._tasks.holds(job_id):
            self._board.end(job_id)
            self._is_exclusive = False
        self._changed.set()

    async def _run_job(self, job: Job, lease: str) -> None:
        began = time.perf_counter()
        try:
            with trace_part("job", job_id=job.id) as part:
                kind = self._kind_of(job)
                parsed = await asyncio.to_thread(kind.parse, job.spec)
                transcription = await self._transcribe(job, parsed.options)
                self._on_audio(job.spec.owner, transcription.duration_s)
                part.tell(audio_s=transcription.duration_s)
                outcome = await asyncio.to_thread(parsed.render, transcription)
                await self._finish(
                    job, lease, JobStatus.SUCCEEDED, outcome, began, audio_s=transcription.duration_s
                )
        except EngineUnavailable as exc:
            logger.info("job %s is queued again: %s", job.id, exc)
            await asyncio.sleep(READY_INTERVAL_S)  # The transcriber's health may change a little later.
            await self._tasks.end(lease, JobTable.free)
        except EngineError as exc:
            await self._retry(job, lease, exc, began)
        except AudioLost as exc:
            await self._fail(job, lease, str(exc), began)
        except StorageFailed as exc:  # Another server may be able to read it, or this one later.
            await self._read_later(job, lease, exc, began)
        except AsrError as exc:
            await self._fail(job, lease, str(exc), began)
        except Exception:  # A bug: its details are for the log, not for the client.
            logger.exception("job %s failed", job.id)
            await self._fail(job, lease, BUG, began)

    def _kind_of(self, job: Job) -> JobKind:
        if job.n_crashes >= self._limits.max_crashes:
            raise InvalidParameter(
                f"the server crashed {job.n_crashes} times while it ran this job; "
                f"allowed: {self._limits.max_crashes - 1} times"
            )
        kind = self._kinds.get(job.spec.kind)
        if kind is None:
            raise InvalidParameter(
                f"the job is of the kind {job.spec.kind!r}, which this server does not know; "
                f"allowed: {', '.join(self._kinds)}"
            )
        return kind

    async def _transcribe(self, job: Job, options: TranscriptionOptions) -> Transcription:
        file = await self._store.open_audio(job.id)
        reader = open_waveform(
            EncodedAudio(file=file), max_audio_s=self._limits.max_audio_s, audio_track=options.audio_track
        )
        loop = asyncio.get_running_loop()

        def tell(progress: Progress) -> None:
            with contextlib.suppress(RuntimeError):  # The loop has been closed.
                loop.call_soon_threadsafe(self._board.report, job.id, progress)

        # Its queue has bounded it before: audio that other requests wait with does not refuse it.
        caller = Caller(owner=job.spec.owner, is_patient=True, on_progress=tell)
        return await self._transcriber.transcribe(reader, options, caller)

    async def _retry(self, job: Job, lease: str, error: EngineError, began: float) -> None:
        """Queue a job again after the model failed on it, or fail it after the last attempt."""
        logger.warning("the model failed on job %s, failure %d: %s", job.id, job.n_failures + 1, error)
        if job.n_failures + 1 >= self._limits.max_failures:
            await self._fail(job, lease, str(error), began)
        else:
            await self._end_and_rest(lease, partial(JobTable.free, is_failure=True))

    async def _read_later(self, job: Job, lease: str, error: StorageFailed, began: float) -> None:
        """Queue a job again whose audio could not be read, to be tried later each time, or fail it at last."""
        n_unread = job.n_unread + 1
        logger.warning("the audio of job %s was not read, failure %d: %s", job.id, n_unread, error)
        if n_unread > len(READ_PAUSES_S):
            tried = f"{n_unread} attempts in {sum(READ_PAUSES_S) / 60:.0f} minutes; send the job again"
            await self._fail(job, lease, f"{error}, after {tried}", began)
        else:
            await self._end_and_rest(lease, partial(JobTable.rest, rest_s=READ_PAUSES_S[n_unread - 1]))

    async def _end_and_rest(self, lease: str, change: Callable[[JobTable, str], bool]) -> None:
        """Queue a job again, and leave it to the other servers. The end of the task wakes the loop."""
        self._n_resting += 1
        try:
            await self._tasks.end(lease, change)
            await asyncio.sleep(REST_S)
        finally:
            self._n_resting -= 1

    async def _fail(self, job: Job, lease: str, message: str, began: float) -> None:
        kind = self._kinds.get(job.spec.kind)
        outcome = kind.render_failure(message) if kind else {"error": message}
        await self._finish(job, lease, JobStatus.FAILED, outcome, began)

    async def _finish(
        self,
        job: Job,
        lease: str,
        status: JobStatus,
        outcome: dict[str, Any],
        began: float,
        *,
        audio_s: float | None = None,
    ) -> None:
        """Store the outcome of a job, and then delete its audio. Without the lease, neither is this server's."""
        total_s = time.perf_counter() - began
        finish = partial(JobTable.finish, status=status, outcome=outcome, runtime_ms=round(total_s * 1000))
        is_stored = await self._tasks.end(lease, finish)
        if is_stored:
            await self._store.remove_audio(job.id)
            logger.info("job %s status=%s audio_s=%s total_s=%.3f", job.id, status.value, audio_s, total_s)
            self._on_result()
