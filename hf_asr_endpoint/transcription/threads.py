"""Work of one request in a thread, which the event loop can wait for, and stop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from hf_asr_endpoint.errors import AsrError, EngineError, EngineUnavailable

SHUTTING_DOWN = "the server is shutting down"

T = TypeVar("T")


class Stop:
    """Tells a thread that nobody waits for its result any more.

    closed: set when the whole server stops. on_cancel: called once this request alone is cancelled.
    """

    def __init__(self, closed: threading.Event, *, on_cancel: Callable[[], None] = lambda: None) -> None:
        self._closed = closed
        self._cancelled = threading.Event()
        self._on_cancel = on_cancel

    def cancel(self) -> None:
        self._cancelled.set()
        self._on_cancel()

    def check(self) -> None:
        """Raise EngineUnavailable when the thread should leave. Called between two pieces of work."""
        if self._closed.is_set():
            raise EngineUnavailable(SHUTTING_DOWN)
        if self._cancelled.is_set():
            raise EngineUnavailable("the request was cancelled")


async def run_in_thread(executor: Executor, work: Callable[[], T], stop: Stop) -> T:
    """Run `work` in a thread and do not leave before it has ended, whether by itself or by `stop`.

    Whatever goes wrong there leaves as an error of our tree.
    """
    stop.check()
    try:
        future = executor.submit(work)
    except RuntimeError as exc:
        raise EngineUnavailable(SHUTTING_DOWN) from exc  # The executor was shut down in between.
    awaitable = asyncio.wrap_future(future)
    try:
        return await asyncio.shield(awaitable)
    except asyncio.CancelledError:
        if awaitable.cancelled():
            raise EngineUnavailable(SHUTTING_DOWN) from None  # The shutdown threw it out of the queue.
        stop.cancel()
        future.cancel()
        while not awaitable.done():  # Whoever cancels again waits for the thread all the same.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([awaitable])
        if not awaitable.cancelled():
            awaitable.exception()  # Looked at, so that asyncio does not log it.
        raise
    except AsrError:
        raise
    except Exception as exc:  # transformers and torch raise anything; one request fails, not the engine.
        raise EngineError(f"the model failed: {type(exc).__name__}: {exc}") from exc
