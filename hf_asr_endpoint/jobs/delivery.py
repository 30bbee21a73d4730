"""Delivers results to webhooks: when to try, and again after a failure, until one attempt succeeds or time is up.

Does not know HTTP: `webhook.py` makes each attempt.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from hf_asr_endpoint.jobs.job import DeliveryStatus, Job, render_job
from hf_asr_endpoint.jobs.store import JobStore
from hf_asr_endpoint.jobs.table import JobTable
from hf_asr_endpoint.jobs.webhook import DeliveryFailed, WebhookSender, receiver_of

logger = logging.getLogger(__name__)

MAX_ATTEMPTS_IN_FLIGHT = 32
MAX_ATTEMPTS_PER_RECEIVER = 4  # in flight, so that a receiver that does not answer does not delay the others

FIRST_DELAY_S = 5.0
MAX_DELAY_S = 3600.0
MIN_JITTER = 0.5  # the shortest delay, as a fraction of the full one


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySchedule:
    """Exponential backoff with jitter.

    Jitter spreads the results that a receiver missed while it was down. The schedule counts attempts instead of
    the time since the end of the job, so that a result gets all its attempts even if the server was down or its
    clock was changed.
    """

    retry_for_s: float
    """The sum of all delays, on average."""
    first_delay_s: float = FIRST_DELAY_S
    max_delay_s: float = MAX_DELAY_S
    draw: Callable[[], float] = random.random
    """Returns a random number from 0 to 1."""

    def next_attempt_at(self, *, n_attempts: int, now: float) -> float | None:
        """Return the time of the next attempt after `n_attempts`, in Unix seconds, or None if there is none."""
        delays_s = [self._delay_s(index, jitter=0.5) for index in range(n_attempts)]
        if sum(delays_s) > self.retry_for_s:
            return None
        return now + self._delay_s(n_attempts - 1, jitter=self.draw())

    def _delay_s(self, index: int, *, jitter: float) -> float:
        """Return the delay after the attempt with this index. jitter: 0 (shortest delay) to 1 (full delay)."""
        doublings = min(index, 60)  # More would overflow.
        delay_s = min(self.first_delay_s * 2.0**doublings, self.max_delay_s)
        return delay_s * (MIN_JITTER + (1 - MIN_JITTER) * jitter)


class DeliveryWorker:
    """Delivers every result at least once: an attempt that a crash interrupts is repeated with the same id."""

    def __init__(
        self,
        store: JobStore,
        sender: WebhookSender,
        *,
        schedule: RetrySchedule,
        now: Callable[[], float] = time.time,
    ) -> None:
        """now: returns the time in Unix seconds."""
        self._store = store
        self._sender = sender
        self._schedule = schedule
        self._now = now
        self._changed = asyncio.Event()  # A job or an attempt has ended.
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self._n_in_flight: Counter[str] = Counter()  # by receiver

    def wake(self) -> None:
        """Check for new deliveries."""
        self._changed.set()

    async def stop(self, job_id: str) -> None:
        """Cancel the attempt for a job that has been removed, if one is in flight."""
        if task := self._in_flight.get(job_id):
            task.cancel()
            await asyncio.wait([task])

    async def run(self) -> None:
        """Deliver until cancelled; then cancel the attempts in flight."""
        try:
            while True:
                self._changed.clear()
                wait_s = await self._send_due()
                try:
                    await asyncio.wait_for(self._changed.wait(), wait_s)
                except TimeoutError:
                    continue
        finally:
            in_flight = tuple(self._in_flight.values())
            for task in in_flight:
                task.cancel()
            await asyncio.gather(*in_flight, return_exceptions=True)

    async def _send_due(self) -> float | None:
        """Start the attempts that are due, up to the maximum.

        Returns the seconds until the next one, or None if only the end of a job or of an attempt can make one due.
        """
        while len(self._in_flight) < MAX_ATTEMPTS_IN_FLIGHT:
            job = await self._store.call_until_stored(self._next_delivery())
            if job is None:
                return None
            due_in_s = (job.delivery.next_attempt_at or 0.0) - self._now()
            if due_in_s > 0:
                return due_in_s
            assert job.spec.webhook is not None
            receiver = receiver_of(job.spec.webhook)
            task = asyncio.create_task(self._attempt(job, job.spec.webhook), name=job.id)
            self._in_flight[job.id] = task
            self._n_in_flight[receiver] += 1
            task.add_done_callback(partial(self._forget, receiver=receiver))
        return None

    def _next_delivery(self) -> Callable[[JobTable], Job | None]:
        """Return a function that selects the next delivery, given what is in flight now."""
        in_flight = frozenset(self._in_flight)
        busy = frozenset(name for name, n in self._n_in_flight.items() if n >= MAX_ATTEMPTS_PER_RECEIVER)
        return lambda table: table.next_delivery(
            lambda job_id, webhook: job_id not in in_flight and receiver_of(webhook) not in busy
        )

    def _forget(self, task: asyncio.Task[None], *, receiver: str) -> None:
        del self._in_flight[task.get_name()]
        self._n_in_flight -= Counter([receiver])  # Subtraction removes counts of 0.
        self._changed.set()
        if not task.cancelled() and (exc := task.exception()):
            logger.error("the delivery of job %s ended with an error", task.get_name(), exc_info=exc)

    async def _attempt(self, job: Job, webhook: str) -> None:
        failure: DeliveryFailed | None = None
        try:
            body = await asyncio.to_thread(_render, job)
            await self._sender.send(webhook, body, message_id=job.id, now=self._now())
        except DeliveryFailed as exc:
            failure = exc
        except Exception:  # A bug: logged, and counted as an attempt, so that it is not repeated at once.
            logger.exception("the delivery of job %s failed", job.id)
            failure = DeliveryFailed("the server failed; its log says more")
        await self._record(job, failure)

    async def _record(self, job: Job, failure: DeliveryFailed | None) -> None:
        n_attempts = job.delivery.n_attempts + 1
        if failure is None:
            logger.info("job %s delivered, attempts=%d", job.id, n_attempts)
            await self._store.call_until_stored(
                lambda table: table.record_attempt(job.id, DeliveryStatus.DELIVERED)
            )
            return
        next_at = self._schedule.next_attempt_at(n_attempts=n_attempts, now=self._now())
        if failure.is_gone or next_at is None:
            status, next_at = DeliveryStatus.GIVEN_UP, None
        else:
            status = DeliveryStatus.PENDING
        logger.warning("job %s not delivered, attempts=%d, %s: %s", job.id, n_attempts, status.value, failure)
        await self._store.call_until_stored(
            lambda table: table.record_attempt(job.id, status, error=str(failure), next_attempt_at=next_at)
        )


def _render(job: Job) -> bytes:
    return json.dumps(render_job(job), ensure_ascii=False, separators=(",", ":")).encode()
