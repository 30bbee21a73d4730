"""Work of one request in a thread, which the event loop can wait for, and stop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import Executor
from typing import Any, TypeVar

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
        await _end(awaitable)
        raise
    except AsrError:
        raise
    except Exception as exc:  # transformers and torch raise anything; one request fails, not the engine.
        raise EngineError(f"the model failed: {type(exc).__name__}: {exc}") from exc


async def _end(awaitable: asyncio.Future[Any]) -> None:
    """Wait for the end, however it ends; whoever is cancelled again meanwhile waits all the same."""
    while not awaitable.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([awaitable])
    if not awaitable.cancelled():
        awaitable.exception()  # Looked at, so that asyncio does not log it.


async def iterate_in_thread(executor: Executor, work: Callable[[], Iterable[T]], stop: Stop) -> AsyncGenerator[T]:
    """Yield what `work` yields in a thread, as it comes. The thread does not wait for whoever takes it.

    Closing the generator stops the thread, as cancelling does, and waits for its end.
    """
    loop = asyncio.get_running_loop()
    items: asyncio.Queue[tuple[T] | None] = asyncio.Queue()  # None: the end

    def run() -> None:
        for item in work():
            loop.call_soon_threadsafe(items.put_nowait, (item,))

    running = asyncio.create_task(run_in_thread(executor, run, stop))
    running.add_done_callback(lambda _: items.put_nowait(None))
    try:
        while (item := await items.get()) is not None:
            yield item[0]
        await running
    finally:
        running.cancel()
        await _end(running)
