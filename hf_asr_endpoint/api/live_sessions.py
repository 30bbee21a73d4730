"""The sessions that are open: how many there may be, how long, and their end at a shutdown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hf_asr_endpoint.errors import EngineUnavailable, Overloaded

RETRY_AFTER_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveLimits:
    """max_session_s: a session's length. idle_timeout_s: without an event of the client. max_waiting_audio_s: that
    has arrived and is not decoded; then the socket is not read."""

    max_sessions: int = 64
    max_session_s: float = 3600.0
    idle_timeout_s: float = 900.0
    max_waiting_audio_s: float = 30.0


class LiveSessions:
    """Used in the event loop."""

    def __init__(self, limits: LiveLimits = LiveLimits()) -> None:
        self.limits = limits
        self._finish: dict[object, Callable[[], None]] = {}
        self._is_draining = False
        self._is_empty = asyncio.Event()

    @property
    def n_open(self) -> int:
        return len(self._finish)

    def check(self) -> None:
        """Raise Overloaded if no more may be opened, EngineUnavailable if the server is shutting down."""
        if self._is_draining:
            raise EngineUnavailable("the server is shutting down")
        limit = self.limits.max_sessions
        if self.n_open >= limit:
            raise Overloaded(
                f"{self.n_open} live sessions are open; allowed: {limit}; try again in {RETRY_AFTER_S} s",
                retry_after_s=RETRY_AFTER_S,
            )

    @contextmanager
    def open(self, finish: Callable[[], None]) -> Iterator[None]:
        """Count a session. finish: has it end behind its last turn. Raises as `check` does."""
        self.check()
        place = object()
        self._finish[place] = finish
        self._is_empty.clear()
        try:
            yield
        finally:
            del self._finish[place]
            if not self._finish:
                self._is_empty.set()

    async def drain(self, timeout_s: float) -> None:
        """Have all sessions end behind their turns, and wait for that."""
        self._is_draining = True
        if not self._finish:
            return
        for finish in tuple(self._finish.values()):
            finish()
        try:
            await asyncio.wait_for(self._is_empty.wait(), timeout_s)
        except TimeoutError:
            return
