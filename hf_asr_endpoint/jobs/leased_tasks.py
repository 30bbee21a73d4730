"""The tasks of this server that work on jobs, each under a lease."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TypeVar

from hf_asr_endpoint.errors import AsrError
from hf_asr_endpoint.jobs.ids import make_lease
from hf_asr_endpoint.jobs.store import JobStore
from hf_asr_endpoint.jobs.table import JobTable

logger = logging.getLogger(__name__)

T = TypeVar("T")


class LeasedTasks:
    """Starts and cancels them. Used in one event loop."""

    def __init__(self, store: JobStore, *, on_end: Callable[[str], None]) -> None:
        """on_end: called with the id of the job whose task has ended."""
        self._store = store
        self._on_end = on_end
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by leases; their names are the ids of the jobs
        self._ending: set[str] = set()  # the leases that cannot be lost: their tasks end them
        self._claiming = ""  # the lease of what may just be claimed

    def __len__(self) -> int:
        return len(self._tasks)

    async def claim(self, claim: Callable[[JobTable, str], T]) -> tuple[str, T]:
        """Return a new lease, and what `claim` returns, which is called with it."""
        self._claiming = lease = make_lease()
        return lease, await self._store.call_until_stored(lambda table: claim(table, lease))

    def start(self, lease: str, job_id: str, work: Coroutine[None, None, None]) -> None:
        """Start the work that a lease is for."""
        task = asyncio.create_task(work, name=job_id)
        self._tasks[lease] = task
        task.add_done_callback(partial(self._forget, lease=lease))

    def held(self) -> dict[str, str]:
        """Return the ids of the jobs by the leases that are to be renewed."""
        return {lease: task.get_name() for lease, task in self._tasks.items()}

    def holds(self, job_id: str) -> bool:
        """Return whether there is work on a job. One that was lost may be claimed again before its task ends."""
        return job_id in self.held().values()

    async def end(self, lease: str, change: Callable[[JobTable, str], bool]) -> bool:
        """End a lease by a change of its job. False if it was lost before.

        Until the change is stored, which may take several attempts, the lease is renewed.
        """
        self._ending.add(lease)
        return await self._store.call_until_stored(lambda table: change(table, lease))

    async def lose(self, lease: str) -> None:
        """Cancel the work whose lease is lost."""
        if lease in self._tasks and lease not in self._ending:
            logger.info("job %s is no longer this server's", self._tasks[lease].get_name())
            await _cancel(self._tasks[lease])

    async def cancel(self, job_id: str) -> None:
        """Cancel the work on a job, if it is done here. Its lease must have been ended before."""
        await _cancel(*(task for task in self._tasks.values() if task.get_name() == job_id))

    async def cancel_all(self) -> None:
        """Cancel all work, and leave it to the other servers and to the next process."""
        leases = (*self._tasks, self._claiming)
        await _cancel(*self._tasks.values())
        try:
            for lease in leases:
                await self._store.call(partial(JobTable.free, lease=lease))
        except AsrError as exc:
            logger.warning("what was running waits for the end of its leases: %s", exc)

    def _forget(self, task: asyncio.Task[None], *, lease: str) -> None:
        self._ending.discard(lease)
        del self._tasks[lease]
        self._on_end(task.get_name())
        if not task.cancelled() and (exc := task.exception()):
            logger.error("the work on job %s ended with an error", task.get_name(), exc_info=exc)


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
