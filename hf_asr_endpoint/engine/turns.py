"""Turns of several engines on the same cores: whoever has waited the longest computes next."""

from __future__ import annotations

import threading
from types import TracebackType


class Turns:
    """A fair lock, as a context. Two engines that compute at once would make both several times slower."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next_ticket = 0
        self._serving = 0

    @property
    def is_taken(self) -> bool:
        """Whether somebody computes now. From any thread."""
        return self._serving != self._next_ticket

    def __enter__(self) -> None:
        with self._changed:
            ticket, self._next_ticket = self._next_ticket, self._next_ticket + 1
            while self._serving != ticket:
                self._changed.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._serving += 1
            self._changed.notify_all()
