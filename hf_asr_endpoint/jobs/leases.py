"""How servers that share a store keep out of one another's way: each holds leases on what it works on.

A server tells the database once a second that it is alive, and how far its jobs are. It stops work whose lease it
has lost, because the job was cancelled, removed or given to another server, and frees the leases of servers that
are silent. Whoever lost a lease can change nothing more: `table.py` asks for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import Protocol

from hf_asr_endpoint.errors import StorageFailed
from hf_asr_endpoint.jobs.progress import JobProgress
from hf_asr_endpoint.jobs.store import JobStore
from hf_asr_endpoint.jobs.table import JobTable

logger = logging.getLogger(__name__)

BEAT_INTERVAL_S = 1.0
BEATS_PER_LEASE = 4  # at least
GRACE_S = 20.0
"""How long the database must have answered before leases are freed, or one lease if that is shorter.

While it did not answer, all leases ran out, and the servers come back one after another: each waits for the others
to renew theirs.
"""


class LeaseHolder(Protocol):
    """Works on jobs that it has leases for."""

    def leases(self) -> Mapping[str, JobProgress]:
        """Return what it works on, and how far that is."""
        ...

    async def lose(self, lease: str) -> None:
        """Stop what this lease was for."""
        ...

    def wake(self) -> None:
        """Look for new work: other servers tell nobody of theirs."""
        ...


class LeaseKeeper:
    """Renews the leases of this server."""

    def __init__(self, store: JobStore, *holders: LeaseHolder, lease_s: float) -> None:
        self._store = store
        self._holders = holders
        self._lease_s = lease_s
        self._answers_since_s = 0.0  # by the monotonic clock: since when the database has answered

    async def run(self) -> None:
        """Renew until cancelled."""
        self._answers_since_s = time.monotonic()
        while True:
            try:
                await self._beat()
            except StorageFailed as exc:  # Work goes on: the database may be back before the leases run out.
                logger.error("leases cannot be renewed: %s", exc)
                self._answers_since_s = time.monotonic()
            await asyncio.sleep(min(BEAT_INTERVAL_S, self._lease_s / BEATS_PER_LEASE))

    async def _beat(self) -> None:
        for holder in self._holders:
            held = dict(holder.leases())
            lost = await self._store.call(partial(JobTable.renew, held=held, lease_s=self._lease_s))
            for lease in lost:
                await holder.lose(lease)
        if time.monotonic() - self._answers_since_s >= min(GRACE_S, self._lease_s):
            await self._free_expired()
        for holder in self._holders:
            holder.wake()

    async def _free_expired(self) -> None:
        if n_jobs := await self._store.call(lambda table: table.free_expired()):
            logger.warning("%d jobs were taken from servers that are silent", n_jobs)
