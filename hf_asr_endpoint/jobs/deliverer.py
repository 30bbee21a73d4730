"""Delivers results to webhooks, each when it is due, until it has arrived or its time is up."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable

from hf_asr_endpoint.jobs.document import render_job
from hf_asr_endpoint.jobs.job import DeliveryStatus, Job
from hf_asr_endpoint.jobs.schedule import RetrySchedule
from hf_asr_endpoint.jobs.sender import DeliveryFailed, WebhookSender
from hf_asr_endpoint.jobs.storage import Storage

logger = logging.getLogger(__name__)

MAX_SENDING = 8  # attempts under way at a time


class Deliverer:
    """Delivers at least once: an attempt that a crash cuts off is made again, under the same id."""

    def __init__(
        self,
        storage: Storage,
        sender: WebhookSender,
        *,
        schedule: RetrySchedule,
        now: Callable[[], float] = time.time,
    ) -> None:
        """now: in Unix seconds."""
        self._storage = storage
        self._sender = sender
        self._schedule = schedule
        self._now = now
        self._changed = asyncio.Event()  # A job has ended, or an attempt.
        self._sending: dict[str, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """Look for deliveries again."""
        self._changed.set()

    async def run(self) -> None:
        """Deliver until cancelled; attempts under way are then broken off."""
        try:
            while True:
                self._changed.clear()
                wait_s = await self._send_due()
                try:
                    await asyncio.wait_for(self._changed.wait(), wait_s)
                except TimeoutError:
                    continue
        finally:
            sending = tuple(self._sending.values())
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)

    async def _send_due(self) -> float | None:
        """Start the attempts that are due and have room. Returns the seconds until the next is; None: unknown."""
        pending = await self._storage.write(lambda store: store.next_deliveries(limit=2 * MAX_SENDING))
        now = self._now()
        for job in pending:
            if job.id in self._sending:
                continue
            if len(self._sending) >= MAX_SENDING:
                return None  # The end of one of them wakes.
            due_in_s = (job.delivery.next_attempt_at or 0.0) - now
            if due_in_s > 0:
                return due_in_s
            task = asyncio.create_task(self._attempt(job), name=job.id)
            self._sending[job.id] = task
            task.add_done_callback(self._forget)
        return None

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._sending[task.get_name()]
        self._changed.set()
        if not task.cancelled() and (exc := task.exception()):
            logger.error("the delivery of job %s ended in an error", task.get_name(), exc_info=exc)

    async def _attempt(self, job: Job) -> None:
        assert job.asked.webhook is not None
        failure: DeliveryFailed | None = None
        try:
            body = json.dumps(render_job(job), ensure_ascii=False, separators=(",", ":")).encode()
            await self._sender.send(job.asked.webhook, body, message_id=job.id, now=self._now())
        except DeliveryFailed as exc:
            failure = exc
        except Exception:  # A bug: it must not end in an attempt without end, nor in silence.
            logger.exception("the delivery of job %s failed", job.id)
            failure = DeliveryFailed("the server failed; its log says more")
        await self._record(job, failure)

    async def _record(self, job: Job, failure: DeliveryFailed | None) -> None:
        n_attempts = job.delivery.n_attempts + 1
        if failure is None:
            logger.info("job %s delivered, attempts=%d", job.id, n_attempts)
            await self._storage.write(lambda store: store.record_attempt(job.id, DeliveryStatus.DELIVERED))
            return
        finished_at = job.finished_at or job.created_at
        next_at = self._schedule.next_attempt_at(n_attempts=n_attempts, now=self._now(), finished_at=finished_at)
        if failure.is_gone or next_at is None:
            status, next_at = DeliveryStatus.GIVEN_UP, None
        else:
            status = DeliveryStatus.PENDING
        logger.warning("job %s not delivered, attempts=%d, %s: %s", job.id, n_attempts, status.value, failure)
        await self._storage.write(
            lambda store: store.record_attempt(job.id, status, error=str(failure), next_attempt_at=next_at)
        )
