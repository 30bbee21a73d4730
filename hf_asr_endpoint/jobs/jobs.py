"""What dialects ask of jobs: to take one, to tell of one, to end one. Puts the parts together and runs them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import BinaryIO, Protocol

from hf_asr_endpoint.errors import JobsUnavailable, UnknownJob
from hf_asr_endpoint.jobs.deliverer import Deliverer
from hf_asr_endpoint.jobs.job import Job, JobKind, NewJob
from hf_asr_endpoint.jobs.limits import JobLimits
from hf_asr_endpoint.jobs.schedule import RetrySchedule
from hf_asr_endpoint.jobs.sender import WebhookSender
from hf_asr_endpoint.jobs.storage import Storage
from hf_asr_endpoint.jobs.store import JobStore
from hf_asr_endpoint.jobs.webhook_url import AddressGuard, parse_webhook_url
from hf_asr_endpoint.jobs.worker import Worker
from hf_asr_endpoint.transcription.transcriber import Transcriber

logger = logging.getLogger(__name__)

SWEEP_INTERVAL_S = 60.0  # between looks for jobs that have been kept long enough, and at the clock
RESTART_INTERVAL_S = 5.0  # after a bug has ended one of the loops


class JobService(Protocol):
    """What the routes need. Each raises JobsUnavailable where there are no jobs, and StorageFailed."""

    async def submit(self, asked: NewJob, audio: BinaryIO) -> Job:
        """Keep a job and return it once it is safe. audio: read from its position on, and left open.

        asked: its parameters have been checked; its webhook is checked here. Raises InvalidParameter for a webhook
        that is refused, Overloaded for a full queue.
        """
        ...

    async def find(self, job_id: str) -> Job:
        """Return a job as it stands. Raises UnknownJob."""
        ...

    async def end(self, job_id: str) -> Job | None:
        """Cancel a job that is unfinished, and return it; remove a finished one, and return None.

        Raises UnknownJob.
        """
        ...


class Jobs:
    """Takes, runs, delivers and forgets jobs. Made and used in one event loop."""

    def __init__(
        self,
        storage: Storage,
        transcriber: Transcriber,
        *,
        kinds: Mapping[str, JobKind],
        limits: JobLimits,
        guard: AddressGuard,
        sender: WebhookSender,
        schedule: RetrySchedule,
    ) -> None:
        """kinds: by the names that jobs give. storage: recovered; it is this object's from now on."""
        self._storage = storage
        self.limits = limits
        self._guard = guard
        self._schedule = schedule
        self._deliverer = Deliverer(storage, sender, schedule=schedule)
        self._worker = Worker(storage, transcriber, kinds=kinds, limits=limits, on_result=self._deliverer.wake)
        self._loops: tuple[asyncio.Task[None], ...] = ()
        self._is_open = True

    async def start(self) -> None:
        """Begin to work."""
        self._loops = tuple(
            asyncio.create_task(_guarded(run)) for run in (self._worker.run, self._deliverer.run, self._sweep)
        )

    async def submit(self, asked: NewJob, audio: BinaryIO) -> Job:
        self._check_open()
        if asked.webhook is not None:
            url = parse_webhook_url(asked.webhook)
            await self._guard.addresses(url.host, url.port)
        self._check_open()
        job = await self._storage.add(asked, audio, max_queued=self.limits.max_queued)
        self._worker.wake()
        return job

    async def find(self, job_id: str) -> Job:
        self._check_open()
        job = await self._storage.read(lambda store: store.find(job_id))
        if job is None:
            raise self._unknown(job_id)
        return job

    async def end(self, job_id: str) -> Job | None:
        self._check_open()
        if await self._storage.read(lambda store: store.cancel(job_id)):
            await self._worker.stop(job_id)
            await self._storage.remove_audio(job_id)
            return await self.find(job_id)
        if await self._storage.read(lambda store: store.remove(job_id)):
            await self._deliverer.stop(job_id)
            return None
        raise self._unknown(job_id)

    async def close(self) -> None:
        """Stop taking jobs, end those that run and leave them queued, let the folder go."""
        self._is_open = False
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await asyncio.to_thread(self._storage.close)

    def _unknown(self, job_id: str) -> UnknownJob:
        return UnknownJob(
            f"there is no job {job_id[:80]!r}; allowed: one that was accepted here and ended "
            f"less than {self.limits.retention_s:g} s ago"
        )

    def _check_open(self) -> None:
        if not self._is_open:
            raise JobsUnavailable("the server is shutting down")

    async def _sweep(self) -> None:
        while True:
            n_jobs = await self._storage.write(lambda store: store.remove_old(retention_s=self.limits.retention_s))
            if n_jobs:
                logger.info("%d old jobs removed", n_jobs)
            latest = partial(JobStore.bring_forward, longest_delay_s=self._schedule.longest_delay_s)
            if await self._storage.write(latest):
                self._deliverer.wake()
            await asyncio.sleep(SWEEP_INTERVAL_S)


class NoJobs:
    """Stands in where jobs cannot be kept. reason: a sentence for the client."""

    limits: JobLimits | None = None

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def start(self) -> None:
        """Nothing to start."""

    async def submit(self, asked: NewJob, audio: BinaryIO) -> Job:
        raise JobsUnavailable(self._reason)

    async def find(self, job_id: str) -> Job:
        raise JobsUnavailable(self._reason)

    async def end(self, job_id: str) -> Job | None:
        raise JobsUnavailable(self._reason)

    async def close(self) -> None:
        """Nothing to close."""


async def _guarded(run: Callable[[], Awaitable[None]]) -> None:
    """Run a loop that only cancelling ends; what else ends it is a bug, logged, and it is begun again."""
    while True:
        try:
            await run()
        except Exception:  # A bug: jobs would wait for ever.
            logger.exception("a loop of the jobs failed; it begins again in %g s", RESTART_INTERVAL_S)
            await asyncio.sleep(RESTART_INTERVAL_S)
