"""What waits to be sent on a socket. A client that reads slowly gets fewer, longer deltas, and at last none."""

from __future__ import annotations

import asyncio
import json
from collections import deque

from hf_asr_endpoint.api.realtime.rendering import TRANSCRIPTION, Event

MAX_WAITING_EVENTS = 256
LISTS = ("logprobs", "words")


class Outbox:
    """Filled and emptied in the event loop."""

    def __init__(self) -> None:
        self._waiting: deque[Event] = deque()
        self._changed = asyncio.Event()
        self._is_closed = False

    @property
    def is_full(self) -> bool:
        return len(self._waiting) > MAX_WAITING_EVENTS

    def put(self, *events: Event) -> None:
        """Add events. A delta joins the last one that waits if both are of one item."""
        for event in events:
            if self._waiting and _continues(self._waiting[-1], event):
                self._waiting[-1] = _joined(self._waiting[-1], event)
            else:
                self._waiting.append(event)
        self._changed.set()

    def close(self) -> None:
        """End `take` once all is taken."""
        self._is_closed = True
        self._changed.set()

    async def take(self) -> str | None:
        """Return the next event as text; None at the end."""
        while not self._waiting:
            if self._is_closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        return json.dumps(self._waiting.popleft(), ensure_ascii=False)


def _continues(before: Event, event: Event) -> bool:
    kinds = {before["type"], event["type"]}
    return kinds == {f"{TRANSCRIPTION}.delta"} and bool(before["item_id"] == event["item_id"])


def _joined(before: Event, event: Event) -> Event:
    joined = {**before, "delta": before["delta"] + event["delta"]}
    for name in LISTS:
        if name in before:
            joined[name] = [*before[name], *event.get(name, ())]
    return joined
