"""The job service for the dialects: submit a job, find it, cancel or remove it. Builds and runs the workers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import BinaryIO, Protocol

from hf_asr_endpoint.cancellation import SHUTTING_DOWN
from hf_asr_endpoint.errors import JobsUnavailable, StorageFailed, UnknownJob
from hf_asr_endpoint.jobs.addresses import AddressGuard
from hf_asr_endpoint.jobs.delivery import DeliveryWorker, RetrySchedule
from hf_asr_endpoint.jobs.ids import ID
from hf_asr_endpoint.jobs.job import Job, JobCounts, JobKind, JobLimits, JobSpec, JobStatus
from hf_asr_endpoint.jobs.leases import BEAT_INTERVAL_S, LeaseKeeper
from hf_asr_endpoint.jobs.progress import ENDED, NOT_BEGUN, JobProgress, ProgressBoard
from hf_asr_endpoint.jobs.store import JobStore
from hf_asr_endpoint.jobs.table import JobTable
from hf_asr_endpoint.jobs.webhook import WebhookSender, parse_webhook_url
from hf_asr_endpoint.jobs.worker import Worker
from hf_asr_endpoint.transcription.transcriber import Transcriber

logger = logging.getLogger(__name__)

SWEEP_INTERVAL_S = 60.0  # between removals of old jobs
WATCH_INTERVAL_S = 15.0  # after which a watched job is read again, whatever has been told of it
RESTART_INTERVAL_S = 5.0  # after a bug has ended one of the loops


class JobService(Protocol):
    """What the routes need. All methods raise JobsUnavailable if the server takes no jobs, and StorageFailed."""

    async def submit(self, spec: JobSpec, audio: BinaryIO) -> Job:
        """Store a job and return it when it is safe on disk.

        spec: parsed by its JobKind without an error. Its webhook is checked here.
        audio: copied from its current position on; the caller closes it.
        Raises InvalidParameter if the webhook is refused, Overloaded if the queue is full.
        """
        ...

    async def find(self, job_id: str, *, caller: str | None = None) -> Job:
        """Return a job. caller: the owner of the API key that asks; None: of a server without keys, or itself.

        Raises UnknownJob, also for a job of another key.
        """
        ...

    def progress(self, job: Job) -> JobProgress:
        """Return how far a job is, and how much longer it will take."""
        ...

    def watch(self, job_id: str, *, caller: str | None = None) -> AsyncIterator[Job]:
        """Yield a job, and again after each change of its status or progress, until it has ended.

        Raises UnknownJob, as `find` does, and when the job is removed; JobsUnavailable after `end_watches`.
        """
        ...

    async def cancel_or_remove(self, job_id: str, *, caller: str | None = None) -> Job | None:
        """Cancel an unfinished job and return it, or remove a job that has succeeded or failed and return None.

        A repeated call for a cancelled job returns it again: it is removed when its retention time is over.
        Works on a full disk, too. Raises UnknownJob, as `find` does.
        """
        ...

    def end_watches(self) -> None:
        """End all `watch`, because the server is to stop: it waits for its responses."""
        ...

    async def counts(self) -> JobCounts:
        """Return how many jobs there are in each status."""
        ...


class Jobs:
    """Stores, runs, delivers and removes jobs. Created and used in one event loop."""

    def __init__(
        self,
        store: JobStore,
        transcriber: Transcriber,
        *,
        kinds: Mapping[str, JobKind],
        limits: JobLimits,
        guard: AddressGuard,
        sender: WebhookSender,
        schedule: RetrySchedule,
        on_audio: Callable[[str | None, float], None],
    ) -> None:
        """store: recovered. kinds: by their names. This object closes the store and the guard.

        on_audio: called with a job's owner and the seconds of its audio, when that has been transcribed.
        """
        self.limits = limits
        self._store = store
        self._guard = guard
        self._schedule = schedule
        self._board = ProgressBoard()
        self._delivery = DeliveryWorker(store, sender, schedule=schedule, lease_s=limits.lease_s)
        self._worker = Worker(
            store,
            transcriber,
            kinds=kinds,
            limits=limits,
            on_result=self._delivery.wake,
            on_audio=on_audio,
            board=self._board,
        )
        self._keeper = LeaseKeeper(store, self._worker, self._delivery, lease_s=limits.lease_s)
        self._loops: tuple[asyncio.Task[None], ...] = ()
        self._is_open = True
        self._may_watch = True

    async def start(self) -> None:
        """Start the workers."""
        loops = [self._worker.run, self._delivery.run, self._sweep]
        if self._store.is_shared:
            loops.append(self._keeper.run)
        self._loops = tuple(asyncio.create_task(_restart_on_failure(run)) for run in loops)

    async def submit(self, spec: JobSpec, audio: BinaryIO) -> Job:
        self._check_open()
        if spec.webhook is not None:
            url = parse_webhook_url(spec.webhook)
            await self._guard.resolve(url.host, url.port)
        self._check_open()
        job = await self._store.add(spec, audio, max_queued=self.limits.max_queued)
        self._worker.wake()
        return job

    async def find(self, job_id: str, *, caller: str | None = None) -> Job:
        self._check_open()
        # Not every database takes any text.
        is_id = re.fullmatch(ID, job_id) is not None
        job = await self._store.call(lambda table: table.find(job_id)) if is_id else None
        if job is None or not _may_see(caller, job):
            raise self._unknown(job_id)
        return job

    def progress(self, job: Job) -> JobProgress:
        if job.status is JobStatus.QUEUED:
            return NOT_BEGUN
        if job.status is JobStatus.RUNNING:
            told = JobProgress(fraction=job.progress, remaining_s=job.remaining_s)
            return self._board.progress_of(job.id) or told
        return ENDED if job.status is JobStatus.SUCCEEDED else JobProgress()

    async def watch(self, job_id: str, *, caller: str | None = None) -> AsyncIterator[Job]:
        job = await self.find(job_id, caller=caller)  # The board keeps no events of jobs that do not exist.
        while not job.status.is_final:
            if not self._may_watch:
                raise JobsUnavailable(SHUTTING_DOWN)
            news = self._board.news_of(job_id)
            try:
                job = await self.find(job_id, caller=caller)
            except UnknownJob:
                self._board.tell(job_id)
                raise
            if job.status.is_final:
                break
            yield job
            with contextlib.suppress(TimeoutError):
                # Other servers tell the database alone.
                async with asyncio.timeout(BEAT_INTERVAL_S if self._store.is_shared else WATCH_INTERVAL_S):
                    await news.wait()
        self._board.tell(job_id)
        yield job

    async def cancel_or_remove(self, job_id: str, *, caller: str | None = None) -> Job | None:
        await self.find(job_id, caller=caller)
        if await self._store.call_with_reserve(lambda table: table.cancel(job_id)):
            await self._worker.stop(job_id)
            self._board.tell(job_id)
            await self._store.remove_audio(job_id)
            await self._store.reserve_space()
        elif await self._store.call_with_reserve(lambda table: table.remove(job_id)):
            await self._delivery.stop(job_id)
            await self._store.reserve_space()
            return None
        return await self.find(job_id)

    def end_watches(self) -> None:
        self._may_watch = False
        self._board.tell_all()

    async def counts(self) -> JobCounts:
        self._check_open()
        return await self._store.call(lambda table: table.counts())

    async def close(self) -> None:
        """Take no more jobs, queue the running ones again, and unlock the data directory."""
        self._is_open = False
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        # The resolver after the deliveries, which use it, and the store last: everything else writes to it.
        await asyncio.to_thread(self._guard.close)
        await asyncio.to_thread(self._store.close)

    def _unknown(self, job_id: str) -> UnknownJob:
        return UnknownJob(
            f"there is no job {job_id[:80]!r}; allowed: one that this server accepted and that ended "
            f"less than {self.limits.retention_s:g} s ago"
        )

    def _check_open(self) -> None:
        if not self._is_open:
            raise JobsUnavailable(SHUTTING_DOWN)

    async def _sweep(self) -> None:
        """Remove old jobs from time to time, and correct what a full disk or a changed clock has left."""
        while True:
            n_jobs = await self._store.call_until_stored(
                lambda table: table.remove_old(retention_s=self.limits.retention_s)
            )
            if n_jobs:
                logger.info("%d old jobs removed", n_jobs)
            await self._sweep_audio()
            await self._store.reserve_space()
            limit_delays = partial(JobTable.limit_delays, max_delay_s=self._schedule.max_delay_s)
            if await self._store.call_until_stored(limit_delays):
                self._worker.wake()
                self._delivery.wake()
            await asyncio.sleep(SWEEP_INTERVAL_S)

    async def _sweep_audio(self) -> None:
        try:
            await self._store.sweep_audio()
        except StorageFailed as exc:  # The next sweep tries again.
            logger.warning("%s", exc)


class NoJobs:
    """The service of a server that takes no jobs. reason: a sentence for the client."""

    limits: JobLimits | None = None

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def start(self) -> None:
        """There is nothing to start."""

    async def submit(self, spec: JobSpec, audio: BinaryIO) -> Job:
        raise JobsUnavailable(self._reason)

    async def find(self, job_id: str, *, caller: str | None = None) -> Job:
        raise JobsUnavailable(self._reason)

    def progress(self, job: Job) -> JobProgress:
        raise JobsUnavailable(self._reason)

    def watch(self, job_id: str, *, caller: str | None = None) -> AsyncIterator[Job]:
        raise JobsUnavailable(self._reason)

    async def cancel_or_remove(self, job_id: str, *, caller: str | None = None) -> Job | None:
        raise JobsUnavailable(self._reason)

    def end_watches(self) -> None:
        """There is nothing to watch."""

    async def counts(self) -> JobCounts:
        return JobCounts()

    async def close(self) -> None:
        """There is nothing to close."""


def _may_see(caller: str | None, job: Job) -> bool:
    """Return whether a job is the caller's. Jobs from a time without keys are everybody's."""
    return caller is None or job.spec.owner in (None, caller)


async def _restart_on_failure(run: Callable[[], Awaitable[None]]) -> None:
    """Run a loop that ends only when cancelled. If a bug ends it, log the error and run the loop again."""
    while True:
        try:
            await run()
        except Exception:  # A bug. Without the loop, jobs would wait for ever.
            logger.exception("a loop of the jobs failed; it starts again in %g s", RESTART_INTERVAL_S)
            await asyncio.sleep(RESTART_INTERVAL_S)
