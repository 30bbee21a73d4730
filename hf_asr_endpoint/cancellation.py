"""Cancels work from any thread. Knows neither what the work is nor who does it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hf_asr_endpoint.errors import EngineUnavailable

CANCELLED = "the request was cancelled"
SHUTTING_DOWN = "the server is shutting down"


class CancellationToken:
    """Set once when a result is no longer wanted, and checked between two pieces of work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._callbacks: list[Callable[[], None]] = []

    @property
    def is_cancelled(self) -> bool:
        return self._reason is not None

    def cancel(self, reason: str = CANCELLED) -> None:
        """Cancel, and run the callbacks in this thread. The first reason counts; later calls do nothing."""
        with self._lock:
            if self._reason is not None:
                return
            self._reason = reason
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def raise_if_cancelled(self) -> None:
        """Raise EngineUnavailable, with the reason, once the token is cancelled."""
        if self._reason is not None:
            raise EngineUnavailable(self._reason)

    def add_callback(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the token is cancelled, at once if it is. It must not block."""
        with self._lock:
            if self._reason is None:
                self._callbacks.append(callback)
                return
        callback()
