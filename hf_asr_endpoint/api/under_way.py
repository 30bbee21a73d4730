"""Which requests are under way, so that a shutdown can wait for the last answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class UnderWay:
    """Counts requests from their beginning until they are answered. Used in the event loop only."""

    def __init__(self) -> None:
        self._n_requests = 0
        self._none_left = asyncio.Event()
        self._none_left.set()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count one more."""
        self._n_requests += 1
        self._none_left.clear()
        try:
            yield
        finally:
            self._n_requests -= 1
            if not self._n_requests:
                self._none_left.set()

    async def wait(self, timeout_s: float) -> None:
        """Wait until there is none, but no longer than that."""
        try:
            await asyncio.wait_for(self._none_left.wait(), timeout_s)
        except TimeoutError:
            return
