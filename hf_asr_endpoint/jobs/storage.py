"""The store and the spool as the event loop uses them: in threads, and in the order that loses nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import BinaryIO, TypeVar

from hf_asr_endpoint.errors import StorageFailed
from hf_asr_endpoint.jobs.data_directory import DataDirectory
from hf_asr_endpoint.jobs.job import Job, NewJob
from hf_asr_endpoint.jobs.spool import Spool
from hf_asr_endpoint.jobs.store import JobStore, check_room, make_id

logger = logging.getLogger(__name__)

RETRY_INTERVAL_S = 5.0  # between tries to write what must not be lost

T = TypeVar("T")


class Storage:
    """Owns the data directory, the store and the spool."""

    def __init__(self, directory: DataDirectory, store: JobStore, spool: Spool) -> None:
        self._directory = directory
        self._store = store
        self._spool = spool

    def recover(self) -> None:
        """Take up what the last process left, and delete audio that no job waits for. Blocks; called once, first.

        Raises StorageFailed.
        """
        unfinished = self._store.recover()
        self._spool.clean(unfinished)
        if unfinished:
            logger.info("%d jobs are left from before", len(unfinished))

    async def add(self, asked: NewJob, audio: BinaryIO, *, max_queued: int) -> Job:
        """Keep a new job. The audio is safe before the record is, so that no record lacks its audio.

        Raises Overloaded and StorageFailed, and then nothing is left of it.
        """

        def work() -> Job:
            check_room(self._store.count_queued(), max_queued=max_queued)
            job_id = make_id()
            self._spool.add(job_id, audio)
            try:
                return self._store.add(job_id, asked, max_queued=max_queued)
            except BaseException:
                self._spool.remove(job_id)
                raise

        # A caller that leaves closes the audio; the copy must have ended by then.
        return await _to_the_end(work)

    async def read(self, work: Callable[[JobStore], T]) -> T:
        """Ask the store, or change it, once. Raises StorageFailed."""
        return await asyncio.to_thread(work, self._store)

    async def write(self, work: Callable[[JobStore], T]) -> T:
        """Change the store, and try again until it can be changed: a result waits for room on the disk."""
        while True:
            try:
                return await _to_the_end(lambda: work(self._store))
            except StorageFailed as exc:
                logger.error("%s; trying again in %g s", exc, RETRY_INTERVAL_S)
            await asyncio.sleep(RETRY_INTERVAL_S)

    async def open_audio(self, job_id: str) -> BinaryIO:
        """Return a job's audio, which the caller closes. Raises StorageFailed when it is gone."""
        opening = asyncio.ensure_future(asyncio.to_thread(self._spool.open, job_id))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close)  # Nobody else would.
            raise

    async def remove_audio(self, job_id: str) -> None:
        await asyncio.to_thread(self._spool.remove, job_id)

    def close(self) -> None:
        """Close the store and let another server have the folder. Blocks."""
        self._store.close()
        self._directory.close()


async def _to_the_end(work: Callable[[], T]) -> T:
    """Run in a thread, and do not leave before it has ended: what was cancelled is not half done."""
    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        while not working.done():
            await asyncio.wait([working])
        working.exception()  # Looked at, so that asyncio does not log it.
        raise


def _close(opening: asyncio.Future[BinaryIO]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
