"""What another process works on, by the numbers that both processes know it by."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from hf_asr_endpoint.processes.blocks import Block

logger = logging.getLogger(__name__)

News = TypeVar("News")
Taken = TypeVar("Taken", contravariant=True)


class Work(Protocol[Taken]):
    """A request or a session."""

    def take(self, news: Taken, /) -> None:
        """Take what comes of it. Called in the thread that listens to the process, or in that which closes it."""
        ...

    def read(self, index: int, /) -> Block:
        """Return a block of its audio. Blocks. Called in the thread that writes to the process."""
        ...


class Works(Generic[News]):
    """Each is told everything that comes of it, and its end once. From any thread."""

    def __init__(self, end: type) -> None:
        """end: the type of the news that come last."""
        self._end = end
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._works: dict[int, Work[News]] = {}

    def __len__(self) -> int:
        return len(self._works)

    def __contains__(self, number: int) -> bool:
        return number in self._works

    def add(self, work: Work[News]) -> int:
        """Return the number of new work."""
        with self._lock:
            number = next(self._numbers)
            self._works[number] = work
        return number

    def read(self, number: int, index: int) -> Block:
        """Return a block of audio. Blocks."""
        work = self._works.get(number)
        return Block(None, "the request has ended") if work is None else work.read(index)

    def tell(self, number: int, news: News) -> None:
        """Tell what comes of work, if it has not ended."""
        with self._lock:
            work = self._works.pop(number, None) if isinstance(news, self._end) else self._works.get(number)
        if work is not None:
            _tell(work, news)

    def end(self, news: News) -> None:
        """Tell all that they end."""
        self.remove_all()(news)

    def remove_all(self) -> Callable[[News], None]:
        """Forget all. Returns what tells them that they end, for a caller who may not do that at once."""
        with self._lock:
            works, self._works = self._works, {}

        def tell(news: News) -> None:
            for work in works.values():
                _tell(work, news)

        return tell


def _tell(work: Work[News], news: News) -> None:
    try:
        work.take(news)
    except Exception:  # A bug in one request's caller must not end the others.
        logger.exception("a bug")
