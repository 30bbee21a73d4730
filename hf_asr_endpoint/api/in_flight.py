"""The requests in flight, and the clean-up that they leave behind. Knows nothing of what a request wants."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Coroutine, Hashable, Iterator
from contextlib import contextmanager

from hf_asr_endpoint.errors import Overloaded

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 5
"""Before any request has ended. Later it depends on how long requests take."""

MIN_RETRY_AFTER_S, MAX_RETRY_AFTER_S = 1, 60
KEPT_SHARE = 8  # One permit in 8 is kept for other API keys than the one that holds the rest.
NEWEST_WEIGHT = 0.1  # of the last request, in the moving average of how long requests take
_NOBODY = object()


class InFlightRequests:
    """Counts requests until they are answered, limits those that cost work, and owns their clean-up tasks.

    Used in the event loop only.
    """

    def __init__(self, max_requests: int) -> None:
        """max_requests: permits at a time. A request beyond that is refused at once instead of queued."""
        self.max_requests = max_requests
        self.n_permits = 0
        """Permits that are held now."""
        self._held_by: Counter[str | None] = Counter()
        self._promised_to: dict[Hashable, str | None] = {}  # requests, and the owners of their keys
        self._held_s: float | None = None  # moving average of how long permits are held
        self._n_requests = 0
        self._cleanups: set[asyncio.Task[None]] = set()
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    @contextmanager
    def count(self) -> Iterator[None]:
        """Count one request, of any kind, until it is answered."""
        self._n_requests += 1
        self._is_idle.clear()
        try:
            yield
        finally:
            self._n_requests -= 1
            self._set_idle()

    @property
    def n_promised(self) -> int:
        """Permits that are promised now, beyond those that are held."""
        return len(self._promised_to)

    def check(self, owner: str | None = None) -> None:
        """Raise Overloaded if no permit is free. owner: of the request's API key; None without keys."""
        n_all = self.n_permits + self.n_promised
        if n_all >= self.max_requests:
            raise self.overloaded(f"{n_all} requests are in flight; allowed: {self.max_requests} at a time")
        allowed = self.max_requests - self.max_requests // KEPT_SHARE
        if owner is None:
            return
        n_of_owner = self._held_by[owner] + sum(to == owner for to in self._promised_to.values())
        if n_of_owner >= allowed:
            raise self.overloaded(
                f"{n_of_owner} requests of this API key are in flight; "
                f"allowed: {allowed} at a time, of {self.max_requests} for all keys"
            )

    @contextmanager
    def promise(self, request: Hashable, owner: str | None = None) -> Iterator[None]:
        """Promise a request its permit until it takes it. Raises Overloaded, as `check` does.

        For one whose body is there and has yet to be parsed: without, more bodies are parsed than there is room
        for, and refused after that, which takes ten times as long.
        """
        self.check(owner)
        self._promised_to[request] = owner
        try:
            yield
        finally:
            self._promised_to.pop(request, None)

    def withdraw(self, request: Hashable) -> None:
        """Take back what is promised to a request, if anything is: it wants no permit."""
        self._promised_to.pop(request, None)

    @contextmanager
    def permit(self, request: Hashable, owner: str | None = None) -> Iterator[None]:
        """Hold one of the permits for requests that wait or are worked on.

        Raises Overloaded, as `check` does, if none is promised to this request.
        """
        if self._promised_to.pop(request, _NOBODY) is _NOBODY:
            self.check(owner)
        self.n_permits += 1
        self._held_by[owner] += 1
        began = time.monotonic()
        try:
            yield
        finally:
            self.n_permits -= 1
            self._held_by[owner] -= 1
            if not self._held_by[owner]:
                del self._held_by[owner]
            self._measure(time.monotonic() - began)

    def overloaded(self, what: str) -> Overloaded:
        """Return the error of a request that finds no place. what: says what there is too much of."""
        retry_after_s = self._retry_after_s()
        return Overloaded(f"{what}; try again in {retry_after_s} s", retry_after_s=retry_after_s)

    def _measure(self, held_s: float) -> None:
        before_s = held_s if self._held_s is None else self._held_s
        self._held_s = before_s + NEWEST_WEIGHT * (held_s - before_s)

    def _retry_after_s(self) -> int:
        """Return half the time that requests take: about half of those in flight will have ended then."""
        if self._held_s is None:
            return RETRY_AFTER_S
        return min(max(math.ceil(self._held_s / 2), MIN_RETRY_AFTER_S), MAX_RETRY_AFTER_S)

    def add_cleanup(self, cleanup: Coroutine[None, None, None]) -> None:
        """Run a clean-up that the response need not wait for, but a shutdown must. Its failure is logged."""
        task = asyncio.create_task(cleanup)
        self._cleanups.add(task)  # The event loop itself has only a weak reference.
        self._is_idle.clear()
        task.add_done_callback(self._end_cleanup)

    async def wait_until_none(self, timeout_s: float) -> bool:
        """Wait until all requests are answered and all clean-up is done. Returns False when that takes longer."""
        try:
            await asyncio.wait_for(self._is_idle.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def _end_cleanup(self, task: asyncio.Task[None]) -> None:
        self._cleanups.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            logger.error("a clean-up failed", exc_info=exc)
        self._set_idle()

    def _set_idle(self) -> None:
        if not self._n_requests and not self._cleanups:
            self._is_idle.set()
