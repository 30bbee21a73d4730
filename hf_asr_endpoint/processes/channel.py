"""Messages over a pipe: sending never waits, and what is sent is made only when its turn has come.

A thread writes, because a pipe that is full makes its writer wait. Whoever owns the channel reads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

Sent = TypeVar("Sent")
Received = TypeVar("Received")


class Silence(Exception):
    """Nothing has come for too long."""


class Channel(Generic[Received, Sent]):
    """One end of a pipe. `send` from any thread."""

    def __init__(self, connection: Connection, *, name: str, on_failure: Callable[[], None]) -> None:
        """name: of the thread that writes. on_failure: called there if a bug ends it: nothing more is sent."""
        self._connection = connection
        self._on_failure = on_failure
        self._queue: SimpleQueue[Callable[[], Sent] | None] = SimpleQueue()
        self._thread = Thread(target=self._write, name=name, daemon=True)
        self._thread.start()

    def send(self, message: Sent) -> None:
        """Send a message behind those that wait. Once the other side has gone, it is dropped."""
        self.send_made(lambda: message)

    def send_made(self, make: Callable[[], Sent]) -> None:
        """Send what `make` returns in the writing thread. It may read files."""
        self._queue.put(make)

    def receive(self, *, timeout_s: float | None = None) -> Iterator[Received]:
        """Yield what the other side sends, until it has gone. Raises Silence if nothing comes for timeout_s."""
        try:
            while self._connection.poll(timeout_s):
                yield self._connection.recv()
        except (EOFError, OSError):
            return
        raise Silence

    def finish(self) -> None:
        """Wait until all is sent that waits, or until the other side has gone."""
        self._queue.put(None)
        self._thread.join()

    def close(self) -> None:
        """Close this end, after the other side has gone."""
        self.finish()
        self._connection.close()

    def _write(self) -> None:
        try:
            while (make := self._queue.get()) is not None:
                self._connection.send(make())
        except OSError:
            pass  # The other side has gone.
        except Exception:  # A message that cannot be made or pickled: a bug, after which nothing more is sent.
            logger.exception("a bug")
            self._on_failure()
