"""The table and the audio for the event loop: in threads, and in an order in which a crash loses nothing."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, TypeVar

from hf_asr_endpoint.cancellation import SHUTTING_DOWN
from hf_asr_endpoint.errors import JobsUnavailable, StorageFailed
from hf_asr_endpoint.jobs.data_directory import DataDirectory
from hf_asr_endpoint.jobs.ids import ID, make_id
from hf_asr_endpoint.jobs.job import Job, JobSpec
from hf_asr_endpoint.jobs.spool import AudioFiles
from hf_asr_endpoint.jobs.table import JobTable, check_queue_length

logger = logging.getLogger(__name__)

RETRY_INTERVAL_S = 5.0  # between attempts to store something that must not be lost

N_TABLE_THREADS = 8
N_TRANSFERS = 8  # of audio, at a time

T = TypeVar("T")


_NAME_OF_AUDIO = re.compile(rf"{ID}(\.part)?")
"""Nothing else is deleted: the folder may have been given by mistake."""


class JobStore:
    """Owns the table, and the data directory of a server that shares its store with no other."""

    def __init__(self, table: JobTable, spool: AudioFiles, directory: DataDirectory | None = None) -> None:
        """directory: where the disk's reserve is; None for a store that several servers share."""
        self._table = table
        self._spool = spool
        self._directory = directory
        self._orphans: frozenset[tuple[str, int]] = frozenset()
        self._threads = ThreadPoolExecutor(N_TABLE_THREADS, thread_name_prefix="jobs")
        # Audio takes as long as its storage does, and must not keep leases from being renewed.
        self._transfers = ThreadPoolExecutor(N_TRANSFERS, thread_name_prefix="jobs-audio")

    @property
    def is_shared(self) -> bool:
        return self._directory is None

    def recover(self) -> None:
        """Take up what the last server left: queue the jobs that it ran, delete audio without a job.

        Of a shared store the other servers may be alive, so that leases run out, and sweeps find the audio.
        Blocks. Must be called once, before all other methods. Raises StorageFailed.
        """
        if self._directory is None:
            return
        self._table.free_all()
        for name, _ in self._find_orphans():
            self._spool.remove(name)
        self._directory.reserve_space()
        if n_jobs := len(self._table.unfinished()):
            logger.info("%d unfinished jobs were found", n_jobs)

    async def add(self, spec: JobSpec, audio: BinaryIO, *, max_queued: int) -> Job:
        """Store a new job: first the audio, then the row, so that every row has its audio.

        Raises Overloaded and StorageFailed; then nothing is left of the job, if the database can say so.
        """

        def work() -> Job:
            check_queue_length(self._table.count_queued(), max_queued=max_queued)
            job_id = make_id()
            self._spool.add(job_id, audio)
            try:
                return self._table.add(job_id, spec, max_queued=max_queued)
            except BaseException as exc:
                if self.is_shared and isinstance(exc, StorageFailed):
                    # The row may be there all the same. If nobody can say, it runs, or a sweep finds the audio.
                    self._table.cancel(job_id)
                self._spool.remove(job_id)
                raise

        # A cancelled caller closes the audio, so the copy must have ended before.
        return await self._to_the_end(work, self._transfers)

    async def call(self, work: Callable[[JobTable], T]) -> T:
        """Call `work` with the table. Raises StorageFailed."""
        return await self._start(lambda: work(self._table), self._threads)

    async def call_until_stored(self, work: Callable[[JobTable], T]) -> T:
        """Call `work` with the table, again and again until the disk accepts the change."""
        while True:
            try:
                return await self._to_the_end(lambda: work(self._table), self._threads)
            except StorageFailed as exc:
                logger.error("%s; trying again in %g s", exc, RETRY_INTERVAL_S)
            await asyncio.sleep(RETRY_INTERVAL_S)

    async def call_with_reserve(self, work: Callable[[JobTable], T]) -> T:
        """Call `work` with the table, and if that fails, once more with the reserved disk space.

        For deletions: SQLite needs space to delete, and on a full disk clients must be able to make space.
        Raises StorageFailed.
        """

        def attempt() -> T:
            try:
                return work(self._table)
            except StorageFailed:
                if self._directory is None:
                    raise
                self._directory.release_space()
                return work(self._table)

        return await self._to_the_end(attempt, self._threads)

    async def reserve_space(self) -> None:
        """Reserve disk space again, if `call_with_reserve` has used it and the disk has space."""
        if self._directory is not None:
            await self._start(self._directory.reserve_space, self._threads)

    async def open_audio(self, job_id: str) -> BinaryIO:
        """Open a job's audio. The caller closes it. Raises AudioLost and StorageFailed."""
        opening = self._start(lambda: self._spool.open(job_id), self._transfers)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close)  # The caller will not get the file.
            raise

    async def remove_audio(self, job_id: str) -> None:
        await self._start(lambda: self._spool.remove(job_id), self._transfers)

    async def sweep_audio(self) -> None:
        """Delete the audio that had no job in this and the last call, and did not grow. Raises StorageFailed.

        A crash left it, before its job was stored or after the job had ended. New audio is without a job, too, but
        for less than the time between two calls.
        """

        def sweep() -> None:
            found = self._find_orphans()
            for name, _ in found & self._orphans:
                self._spool.remove(name)
            self._orphans = found

        await self._start(sweep, self._transfers)

    def _find_orphans(self) -> frozenset[tuple[str, int]]:
        """Return the names and sizes of audio without a job."""
        sizes = self._spool.sizes()  # Before the jobs: whatever is stored meanwhile is not among them.
        jobs = self._table.unfinished()
        return frozenset(
            (name, n_bytes)
            for name, n_bytes in sizes.items()
            if name not in jobs and _NAME_OF_AUDIO.fullmatch(name)
        )

    def _start(self, work: Callable[[], T], threads: ThreadPoolExecutor) -> asyncio.Future[T]:
        """Call `work` in one of the store's own threads: one that waits keeps no request waiting."""
        run = contextvars.copy_context().run
        try:
            return asyncio.get_running_loop().run_in_executor(threads, lambda: run(work))
        except RuntimeError as exc:  # The threads have been shut down.
            raise JobsUnavailable(SHUTTING_DOWN) from exc

    async def _to_the_end(self, work: Callable[[], T], threads: ThreadPoolExecutor) -> T:
        """Call `work` in a thread. A cancelled caller leaves only after `work` has ended."""
        working = self._start(work, threads)
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            while not working.done():
                await asyncio.wait([working])
            working.exception()  # Retrieved, so that asyncio does not log it.
            raise

    def close(self) -> None:
        """Close the table and unlock the directory. Blocks."""
        self._transfers.shutdown(cancel_futures=True)
        self._threads.shutdown()
        self._table.close()
        if self._directory is not None:
            self._directory.close()


def _close(opening: asyncio.Future[BinaryIO]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
