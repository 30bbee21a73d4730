from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

import pytest

from hf_asr_endpoint.errors import EngineError, EngineUnavailable, InvalidAudio
from hf_asr_endpoint.transcription.threads import Stop, iterate_in_thread, run_in_thread

DEADLINE_S = 10.0


class Work:
    """Goes on until it is told to stop, or the test lets it end."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self.has_begun = threading.Event()
        self.may_look = threading.Event()
        self.has_ended = threading.Event()

    def __call__(self) -> str:
        self.has_begun.set()
        try:
            assert self.may_look.wait(DEADLINE_S)
            self._stop.check()
            return "done"
        finally:
            self.has_ended.set()


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


@pytest.fixture
def closed() -> threading.Event:
    return threading.Event()


@pytest.fixture
def stop(closed: threading.Event) -> Stop:
    return Stop(closed)


def test_a_stop_says_nothing_until_it_is_told(stop: Stop) -> None:
    stop.check()


def test_a_cancelled_request_leaves_and_its_caller_is_told(closed: threading.Event) -> None:
    told: list[str] = []
    stop = Stop(closed, on_cancel=lambda: told.append("cancelled"))
    stop.cancel()
    assert told == ["cancelled"]
    with pytest.raises(EngineUnavailable, match="request was cancelled"):
        stop.check()


def test_a_closed_server_ends_every_request(closed: threading.Event, stop: Stop) -> None:
    closed.set()
    with pytest.raises(EngineUnavailable, match="shutting down"):
        stop.check()


def test_work_is_done_in_the_thread(executor: ThreadPoolExecutor, stop: Stop) -> None:
    thread = asyncio.run(run_in_thread(executor, threading.current_thread, stop))
    assert thread is not threading.current_thread()


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        pytest.param(InvalidAudio("cut off"), InvalidAudio, "^cut off$", id="ours"),
        pytest.param(ValueError("odd"), EngineError, "^the model failed: ValueError: odd$", id="foreign"),
    ],
)
def test_errors_leave_as_ours(
    executor: ThreadPoolExecutor, stop: Stop, raised: Exception, expected: type[Exception], message: str
) -> None:
    def work() -> None:
        raise raised

    with pytest.raises(expected, match=message):
        asyncio.run(run_in_thread(executor, work, stop))


@pytest.mark.parametrize("n_cancels", [1, 3], ids=["once", "again and again"])
def test_cancelling_waits_for_the_thread(executor: ThreadPoolExecutor, stop: Stop, n_cancels: int) -> None:
    work = Work(stop)

    async def scenario() -> None:
        task = asyncio.create_task(run_in_thread(executor, work, stop))
        await asyncio.to_thread(work.has_begun.wait, DEADLINE_S)
        for _ in range(n_cancels):
            task.cancel()
            await asyncio.wait([task], timeout=0)
            await asyncio.sleep(0)
        assert not task.done(), "the thread has not ended"
        work.may_look.set()
        await asyncio.wait([task])
        assert task.cancelled()
        assert work.has_ended.is_set()

    asyncio.run(scenario())


def test_work_cancelled_in_the_queue_never_begins(executor: ThreadPoolExecutor, closed: threading.Event) -> None:
    first, second = Work(Stop(closed)), Work(Stop(closed))

    async def scenario() -> str:
        running = asyncio.create_task(run_in_thread(executor, first, Stop(closed)))
        await asyncio.to_thread(first.has_begun.wait, DEADLINE_S)
        waiting = asyncio.create_task(run_in_thread(executor, second, Stop(closed)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        first.may_look.set()
        return await running

    assert asyncio.run(scenario()) == "done"
    assert not second.has_begun.is_set()


def test_what_waits_at_a_shutdown_is_told_so(executor: ThreadPoolExecutor, closed: threading.Event) -> None:
    first, second = Work(Stop(closed)), Work(Stop(closed))

    async def scenario() -> None:
        running = asyncio.create_task(run_in_thread(executor, first, Stop(closed)))
        await asyncio.to_thread(first.has_begun.wait, DEADLINE_S)
        waiting = asyncio.create_task(run_in_thread(executor, second, Stop(closed)))
        await asyncio.sleep(0)
        closed.set()
        executor.shutdown(wait=False, cancel_futures=True)
        first.may_look.set()
        for task in (running, waiting):
            with pytest.raises(EngineUnavailable, match="shutting down"):
                await task

    asyncio.run(scenario())


def test_nothing_is_begun_after_a_shutdown(executor: ThreadPoolExecutor, stop: Stop) -> None:
    executor.shutdown()
    with pytest.raises(EngineUnavailable, match="shutting down"):
        asyncio.run(run_in_thread(executor, lambda: "done", stop))


def test_a_stopped_request_is_not_begun(executor: ThreadPoolExecutor, closed: threading.Event) -> None:
    closed.set()
    work = Work(Stop(closed))
    with pytest.raises(EngineUnavailable, match="shutting down"):
        asyncio.run(run_in_thread(executor, work, Stop(closed)))
    assert not work.has_begun.is_set()


def test_what_is_yielded_in_a_thread_comes_in_order(executor: ThreadPoolExecutor, stop: Stop) -> None:
    async def scenario() -> list[int]:
        return [number async for number in iterate_in_thread(executor, lambda: iter(range(100)), stop)]

    assert asyncio.run(scenario()) == list(range(100))


def test_what_goes_wrong_comes_after_what_was_yielded(executor: ThreadPoolExecutor, stop: Stop) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise InvalidAudio("no sound")

    async def scenario() -> None:
        numbers = iterate_in_thread(executor, broken, stop)
        assert await anext(numbers) == 1
        with pytest.raises(InvalidAudio, match="no sound"):
            await anext(numbers)

    asyncio.run(scenario())


def test_closing_the_iteration_waits_for_the_thread(executor: ThreadPoolExecutor, stop: Stop) -> None:
    has_ended = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                stop.check()
                yield 1
        finally:
            has_ended.set()

    async def scenario() -> None:
        async with aclosing(iterate_in_thread(executor, endless, stop)) as numbers:
            assert await anext(numbers) == 1
        assert has_ended.is_set()

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S))
