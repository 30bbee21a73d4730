"""Delivers results to webhooks, each when it is due, until it has arrived or its time is up."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from hf_asr_endpoint.jobs.document import render_job
from hf_asr_endpoint.jobs.job import DeliveryStatus, Job
from hf_asr_endpoint.jobs.schedule import RetrySchedule
from hf_asr_endpoint.jobs.sender import DeliveryFailed, WebhookSender
from hf_asr_endpoint.jobs.storage import Storage
from hf_asr_endpoint.jobs.store import JobStore
from hf_asr_endpoint.jobs.webhook_url import receiver_of

logger = logging.getLogger(__name__)

MAX_SENDING = 32  # attempts under way at a time
MAX_SENDING_TO_ONE = 4  # of them to one receiver, so that one that hangs does not hold up the others


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
        self._receivers: Counter[str] = Counter()  # How many of the attempts each one has.

    def wake(self) -> None:
        """Look for deliveries again."""
        self._changed.set()

    async def stop(self, job_id: str) -> None:
        """Break off the attempt for a job that has been removed, if there is one."""
        if task := self._sending.get(job_id):
            task.cancel()
            await asyncio.wait([task])

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
        while len(self._sending) < MAX_SENDING:
            job = await self._storage.write(
                partial(
                    JobStore.next_delivery,
                    sending=frozenset(self._sending),
                    busy=frozenset(name for name, n in self._receivers.items() if n >= MAX_SENDING_TO_ONE),
                )
            )
            if job is None:
                return None
            due_in_s = (job.delivery.next_attempt_at or 0.0) - self._now()
            if due_in_s > 0:
                return due_in_s
            receiver = receiver_of(job.asked.webhook)
            task = asyncio.create_task(self._attempt(job), name=job.id)
            self._sending[job.id] = task
            self._receivers[receiver] += 1
            task.add_done_callback(partial(self._forget, receiver=receiver))
        return None  # The end of one of them wakes.

    def _forget(self, task: asyncio.Task[None], *, receiver: str) -> None:
        del self._sending[task.get_name()]
        self._receivers -= Counter([receiver])  # Which leaves none with a count of 0.
        self._changed.set()
        if not task.cancelled() and (exc := task.exception()):
            logger.error("the delivery of job %s ended in an error", task.get_name(), exc_info=exc)

    async def _attempt(self, job: Job) -> None:
        assert job.asked.webhook is not None
        failure: DeliveryFailed | None = None
        try:
            body = await asyncio.to_thread(_render, job)
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
        next_at = self._schedule.next_attempt_at(n_attempts=n_attempts, now=self._now())
        if failure.is_gone or next_at is None:
            status, next_at = DeliveryStatus.GIVEN_UP, None
        else:
            status = DeliveryStatus.PENDING
        logger.warning("job %s not delivered, attempts=%d, %s: %s", job.id, n_attempts, status.value, failure)
        await self._storage.write(
            lambda store: store.record_attempt(job.id, status, error=str(failure), next_attempt_at=next_at)
        )


def _render(job: Job) -> bytes:
    return json.dumps(render_job(job), ensure_ascii=False, separators=(",", ":")).encode()
