"""Runs queued jobs, oldest first, a few at a time, beside the requests that are answered at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from hf_asr_endpoint.audio.source import EncodedAudio, open_waveform
from hf_asr_endpoint.errors import AsrError, EngineError, EngineUnavailable, InvalidParameter
from hf_asr_endpoint.jobs.job import Job, JobKind, JobStatus
from hf_asr_endpoint.jobs.limits import JobLimits
from hf_asr_endpoint.jobs.storage import Storage
from hf_asr_endpoint.jobs.store import JobStore
from hf_asr_endpoint.transcription.transcriber import Transcriber, transcribe
from hf_asr_endpoint.types import Transcription

logger = logging.getLogger(__name__)

READY_INTERVAL_S = 0.2  # between looks whether the model is loaded, which the seam tells nobody
N_CRASHES_BEFORE_ALONE = 2
"""A job that so many crashes found running runs with no other from then on, so that it takes none along."""

BUG = "the server failed; its log says more"


class Worker:
    """Takes jobs while the model is ready. Every job it takes ends, or is queued again."""

    def __init__(
        self,
        storage: Storage,
        transcriber: Transcriber,
        *,
        kinds: Mapping[str, JobKind],
        limits: JobLimits,
        on_result: Callable[[], None],
    ) -> None:
        """on_result: called when a job has ended with something to deliver."""
        self._storage = storage
        self._transcriber = transcriber
        self._kinds = kinds
        self._limits = limits
        self._on_result = on_result
        self._changed = asyncio.Event()  # A job was added, or one has ended.
        self._running: dict[str, asyncio.Task[None]] = {}
        self._is_alone = False

    def wake(self) -> None:
        """Look at the queue again."""
        self._changed.set()

    async def run(self) -> None:
        """Take jobs until cancelled; then stop those that are running, and leave them queued."""
        try:
            while True:
                self._changed.clear()
                await self._wait_until_ready()
                await self._take_jobs()
                await self._changed.wait()
        finally:
            await self._stop_all()

    async def stop(self, job_id: str) -> None:
        """End the work on a job that has been cancelled, if there is any."""
        if task := self._running.get(job_id):
            task.cancel()
            await asyncio.wait([task])

    async def _wait_until_ready(self) -> None:
        while self._transcriber.health().state != "ready":
            await asyncio.sleep(READY_INTERVAL_S)

    async def _take_jobs(self) -> None:
        """Start jobs while there is room for the next one."""
        while not self._is_alone and len(self._running) < self._limits.max_running:
            job = await self._storage.write(lambda store: store.next_queued())
            if job is None:
                return
            is_suspect = job.n_crashes >= N_CRASHES_BEFORE_ALONE
            if is_suspect and self._running:
                return  # It is the oldest, so its turn comes when those have ended.
            if await self._storage.write(partial(JobStore.start, job_id=job.id)):
                self._is_alone = is_suspect
                task = asyncio.create_task(self._run_job(job), name=job.id)
                self._running[job.id] = task
                task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._running[task.get_name()]
        self._is_alone = False
        self._changed.set()
        if not task.cancelled() and (exc := task.exception()):
            logger.error("the worker failed at job %s", task.get_name(), exc_info=exc)

    async def _stop_all(self) -> None:
        """Cancel what runs and queue it again: the server stops, and whoever starts next goes on with it."""
        running = tuple(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        try:
            await self._storage.read(lambda store: store.put_back_all())
        except AsrError as exc:  # They are found running at the next start, and taken up as well.
            logger.warning("jobs are left as running: %s", exc)

    async def _run_job(self, job: Job) -> None:
        began = time.perf_counter()
        try:
            kind = self._kind_of(job)
            transcription = await self._transcribe(job, kind)
            outcome = await asyncio.to_thread(kind.success, job.asked, transcription)
            await self._finish(job, JobStatus.SUCCEEDED, outcome, began, audio_s=transcription.duration_s)
        except EngineUnavailable as exc:
            logger.info("job %s is queued again: %s", job.id, exc)
            await self._storage.write(lambda store: store.put_back(job.id))
            await asyncio.sleep(READY_INTERVAL_S)  # Not to take it again before the health tells of it.
        except EngineError as exc:
            await self._retry(job, exc, began)
        except AsrError as exc:
            await self._fail(job, str(exc), began)
        except Exception:  # A bug: logged whole here, and the client is told without its details.
            logger.exception("job %s failed", job.id)
            await self._fail(job, BUG, began)

    def _kind_of(self, job: Job) -> JobKind:
        if job.n_crashes >= self._limits.max_crashes:
            raise InvalidParameter(
                f"the server crashed {job.n_crashes} times while it worked on this; "
                f"allowed: {self._limits.max_crashes - 1} times"
            )
        kind = self._kinds.get(job.asked.kind)
        if kind is None:
            raise InvalidParameter(
                f"the job is of the kind {job.asked.kind!r}, which this server does not know; "
                f"allowed: {', '.join(self._kinds)}"
            )
        return kind

    async def _transcribe(self, job: Job, kind: JobKind) -> Transcription:
        options = kind.options(job.asked)
        with await self._storage.open_audio(job.id) as file:
            waveform = open_waveform(EncodedAudio(file=file), max_audio_s=self._limits.max_audio_s)
            return await transcribe(self._transcriber, waveform, options)

    async def _retry(self, job: Job, error: EngineError, began: float) -> None:
        """Queue a job again at which the model failed, unless it has failed at it too often."""
        logger.warning("the model failed at job %s, for time %d: %s", job.id, job.n_failures + 1, error)
        if job.n_failures + 1 >= self._limits.max_failures:
            await self._fail(job, str(error), began)
        else:
            await self._storage.write(lambda store: store.put_back(job.id, is_failure=True))

    async def _fail(self, job: Job, message: str, began: float) -> None:
        kind = self._kinds.get(job.asked.kind)
        outcome = kind.failure(job.asked, message) if kind else {"error": message}
        await self._finish(job, JobStatus.FAILED, outcome, began)

    async def _finish(
        self,
        job: Job,
        status: JobStatus,
        outcome: dict[str, Any],
        began: float,
        *,
        audio_s: float | None = None,
    ) -> None:
        """Keep the end of a job; then its audio is not needed any more."""
        total_s = time.perf_counter() - began
        is_kept = await self._storage.write(
            lambda store: store.finish(job.id, status, outcome=outcome, runtime_ms=round(total_s * 1000))
        )
        await self._storage.remove_audio(job.id)
        if is_kept:
            logger.info("job %s status=%s audio_s=%s total_s=%.3f", job.id, status.value, audio_s, total_s)
            self._on_result()
