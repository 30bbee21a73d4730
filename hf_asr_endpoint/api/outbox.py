"""What waits to be sent on a socket. A client that reads slowly gets fewer, longer events, and at last none."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

MAX_WAITING_EVENTS = 256

Event = dict[str, Any]

Join = Callable[[Event, Event], Event | None]
"""Returns what says as much as two events that follow one another; None if only both do."""


class Outbox:
    """Filled and emptied in the event loop."""

    def __init__(self, join: Join = lambda before, event: None) -> None:
        self._join = join
        self._waiting: deque[Event] = deque()
        self._changed = asyncio.Event()
        self._is_closed = False

    @property
    def is_full(self) -> bool:
        return len(self._waiting) > MAX_WAITING_EVENTS

    def put(self, *events: Event) -> None:
        """Add events, each joined to the last ones that wait, as far as that is possible."""
        for event in events:
            while self._waiting and (joined := self._join(self._waiting[-1], event)) is not None:
                self._waiting.pop()
                event = joined
            self._waiting.append(event)
        self._changed.set()

    def close(self) -> None:
        """End `take` once all is taken."""
        self._is_closed = True
        self._changed.set()

    async def take(self) -> Event | None:
        """Return the next event; None at the end."""
        while not self._waiting:
            if self._is_closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()
