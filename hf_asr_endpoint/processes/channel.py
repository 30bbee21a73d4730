"""Messages over a pipe: sending never waits, and what is sent is made only when its turn has come.

A thread writes, because a pipe that is full makes its writer wait. Whoever owns the channel reads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, Protocol, TypeVar

logger = logging.getLogger(__name__)

Sent = TypeVar("Sent")
Received = TypeVar("Received")


class Pipe(Protocol):
    """One end of a pipe between two processes, as of multiprocessing. One thread sends and one receives.

    `recv` raises EOFError, or OSError, when the other side has gone; `send` raises OSError then.
    """

    def poll(self, timeout: float | None, /) -> bool: ...

    def recv(self) -> Any: ...

    def send(self, message: Any, /) -> None: ...

    def close(self) -> None: ...


class Silence(Exception):
    """Nothing has come for too long."""


class Channel(Generic[Received, Sent]):
    """One end of a pipe. `send` from any thread."""

    def __init__(self, pipe: Pipe, *, name: str, on_failure: Callable[[], None]) -> None:
        """name: of the thread that writes. on_failure: called there if a bug ends it: nothing more is sent."""
        self._pipe = pipe
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
            while self._pipe.poll(timeout_s):
                yield self._pipe.recv()
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
        self._pipe.close()

    def _write(self) -> None:
        try:
            while (make := self._queue.get()) is not None:
                self._pipe.send(make())
        except OSError:
            pass  # The other side has gone.
        except Exception:  # A message that cannot be made or pickled: a bug, after which nothing more is sent.
            logger.exception("a bug")
            self._on_failure()
