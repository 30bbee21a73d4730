"""How far the jobs are that run here, and who waits for news of a job. In memory: a new process begins them anew.

Used in one event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from hf_asr_endpoint.types import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """fraction: of the audio, 0 to 1. remaining_s: estimated from the time so far. None: not known."""

    fraction: float | None = None
    remaining_s: float | None = None


ENDED = JobProgress(fraction=1.0, remaining_s=0.0)
NOT_BEGUN = JobProgress(fraction=0.0)


class ProgressBoard:
    """Knows the running jobs by their ids. now: returns seconds that only grow."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began_s: dict[str, float] = {}
        self._latest: dict[str, Progress] = {}
        self._news: dict[str, asyncio.Event] = {}

    def begin(self, job_id: str) -> None:
        """A job has begun to run."""
        self._began_s[job_id] = self._now()
        self.tell(job_id)

    def report(self, job_id: str, progress: Progress) -> None:
        """A running job has come further."""
        if job_id in self._began_s:
            self._latest[job_id] = progress
            self.tell(job_id)

    def end(self, job_id: str) -> None:
        """A job runs no more, whatever has become of it."""
        self._began_s.pop(job_id, None)
        self._latest.pop(job_id, None)
        self.tell(job_id)

    def tell(self, job_id: str) -> None:
        """Wake those who wait for news of a job."""
        if news := self._news.pop(job_id, None):
            news.set()

    def progress_of(self, job_id: str) -> JobProgress | None:
        """Return how far a job is, None if it does not run here."""
        if job_id not in self._began_s:
            return None
        latest = self._latest.get(job_id)
        if latest is None:
            return NOT_BEGUN
        elapsed_s = self._now() - self._began_s[job_id]
        fraction = latest.fraction
        return JobProgress(
            fraction=fraction, remaining_s=elapsed_s * (1 - fraction) / fraction if fraction else None
        )

    def tell_all(self) -> None:
        """Wake everybody who waits for news."""
        for job_id in tuple(self._news):
            self.tell(job_id)

    def news_of(self, job_id: str) -> asyncio.Event:
        """Return an event that is set at the next news of a job."""
        return self._news.setdefault(job_id, asyncio.Event())
