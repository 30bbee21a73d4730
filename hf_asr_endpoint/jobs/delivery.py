"""Delivers results to webhooks: when to try, and again after a failure, until one attempt succeeds or time is up.

Does not know HTTP: `webhook.py` makes each attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from hf_asr_endpoint.jobs.job import DeliveryStatus, Job, render_job
from hf_asr_endpoint.jobs.leased_tasks import LeasedTasks
from hf_asr_endpoint.jobs.progress import ENDED, JobProgress
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
    """Exponential backoff with jitter, until a time after the end of the job: the first failure behind it is the
    last. So each result gets an attempt, even if the server was down or many results wait for one receiver.

    Jitter spreads the results that a receiver missed while it was down. Delays are added up, too, because a clock
    that has been set back says that a job has just ended.
    """

    retry_for_s: float
    """After the end of the job."""
    first_delay_s: float = FIRST_DELAY_S
    max_delay_s: float = MAX_DELAY_S
    draw: Callable[[], float] = random.random
    """Returns a random number from 0 to 1."""

    def delay_s(self, *, n_attempts: int, age_s: float = 0.0) -> float | None:
        """Return the seconds between attempt number `n_attempts` and the next one, None if there is none.

        age_s: of the result, at that attempt.
        """
        delays_s = sum(self._delay_s(index, jitter=0.5) for index in range(n_attempts))
        if max(delays_s, age_s) > self.retry_for_s:
            return None
        return self._delay_s(n_attempts - 1, jitter=self.draw())

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
        lease_s: float,
    ) -> None:
        """lease_s: how long a delivery is this server's after it was last renewed."""
        self._sender = sender
        self._schedule = schedule
        self._lease_s = lease_s
        self._changed = asyncio.Event()  # A job or an attempt has ended.
        self._attempts = LeasedTasks(store, on_end=self._forget)
        self._receivers: dict[str, str] = {}  # of the attempts in flight, by the ids of their jobs

    def wake(self) -> None:
        """Check for new deliveries."""
        self._changed.set()

    def leases(self) -> dict[str, JobProgress]:
        """Return the leases of the attempts in flight, whose jobs have ended."""
        return dict.fromkeys(self._attempts.held(), ENDED)

    async def lose(self, lease: str) -> None:
        """Cancel the attempt of a job that was removed or given to another server."""
        await self._attempts.lose(lease)

    async def stop(self, job_id: str) -> None:
        """Cancel the attempt for a job that has been removed, if one is in flight here."""
        await self._attempts.cancel(job_id)

    async def run(self) -> None:
        """Deliver until cancelled; then cancel the attempts in flight."""
        try:
            while True:
                self._changed.clear()
                wait_s = await self._send_due()
                with contextlib.suppress(TimeoutError):
                    # Not wait_for, which in Python 3.11 may ignore that the task is cancelled.
                    async with asyncio.timeout(wait_s):
                        await self._changed.wait()
        finally:
            await self._attempts.cancel_all()

    async def _send_due(self) -> float | None:
        """Start the attempts that are due, up to the maximum.

        Returns the seconds until the next one, or None if only the end of a job or of an attempt can make one due.
        """
        while len(self._attempts) < MAX_ATTEMPTS_IN_FLIGHT:
            n_in_flight = Counter(self._receivers.values())
            busy = frozenset(name for name, n in n_in_flight.items() if n >= MAX_ATTEMPTS_PER_RECEIVER)
            lease, found = await self._attempts.claim(
                partial(JobTable.claim_delivery, lease_s=self._lease_s, busy=busy)
            )
            job = found.job
            if job is None:
                return found.due_in_s
            assert job.spec.webhook is not None
            assert job.finished_at is not None
            self._receivers[job.id] = receiver_of(job.spec.webhook)
            attempt = self._attempt(job, job.spec.webhook, lease, age_s=found.now - job.finished_at)
            self._attempts.start(lease, job.id, attempt)
        return None

    def _forget(self, job_id: str) -> None:
        if not self._attempts.holds(job_id):
            self._receivers.pop(job_id, None)
        self._changed.set()

    async def _attempt(self, job: Job, webhook: str, lease: str, *, age_s: float) -> None:
        failure: DeliveryFailed | None = None
        try:
            body = await asyncio.to_thread(_render, job)
            await self._sender.send(webhook, body, message_id=job.id, now=time.time())
        except DeliveryFailed as exc:
            failure = exc
        except Exception:  # A bug: logged, and counted as an attempt, so that it is not repeated at once.
            logger.exception("the delivery of job %s failed", job.id)
            failure = DeliveryFailed("the server failed; its log says more")
        await self._record(job, lease, failure, age_s=age_s)

    async def _record(self, job: Job, lease: str, failure: DeliveryFailed | None, *, age_s: float) -> None:
        n_attempts = job.delivery.n_attempts + 1
        if failure is None:
            logger.info("job %s delivered, attempts=%d", job.id, n_attempts)
            await self._attempts.end(lease, partial(JobTable.record_attempt, status=DeliveryStatus.DELIVERED))
            return
        delay_s = self._schedule.delay_s(n_attempts=n_attempts, age_s=age_s)
        if failure.is_gone or delay_s is None:
            status, delay_s = DeliveryStatus.GIVEN_UP, None
        else:
            status = DeliveryStatus.PENDING
        logger.warning("job %s not delivered, attempts=%d, %s: %s", job.id, n_attempts, status.value, failure)
        record = partial(JobTable.record_attempt, status=status, error=str(failure), next_attempt_in_s=delay_s)
        await self._attempts.end(lease, record)


def _render(job: Job) -> bytes:
    return json.dumps(render_job(job), ensure_ascii=False, separators=(",", ":")).encode()
