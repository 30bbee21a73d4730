from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from hf_asr_endpoint.errors import EngineUnavailable, ModelNotLoaded, ModelUnavailable
from hf_asr_endpoint.transcription.deferred import DeferredTranscriber
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import Activity, TranscriptionOptions
from tests.fakes import FakeTranscriber
from tests.transcription.transcribing import Blocks

DEADLINE_S = 10.0
WAVEFORM = [np.zeros(800, np.float32)]


class Loading:
    """A load that ends when the test says so, with what the test says."""

    def __init__(self) -> None:
        self.result: Transcriber | Exception = FakeTranscriber()
        self.failures: list[Exception] = []
        self.report: Callable[[str], None] = print
        self.has_begun = threading.Event()
        self.has_failed = threading.Event()
        self._may_end = threading.Event()
        self.has_ended = threading.Event()

    def __call__(self, report: Callable[[str], None]) -> Transcriber:
        self.report = report
        self.has_begun.set()
        self._may_end.wait(DEADLINE_S)
        try:
            if isinstance(self.result, Exception):
                raise self.result
            return self.result
        finally:
            self.has_ended.set()

    def end(self, result: Transcriber | Exception) -> None:
        self.result = result
        self._may_end.set()

    def fail(self, failure: Exception) -> None:
        self.failures.append(failure)
        self.has_failed.set()


@pytest.fixture
def loading() -> Iterator[Loading]:
    load = Loading()
    yield load
    load.end(FakeTranscriber())


@pytest.fixture
def deferred(loading: Loading) -> DeferredTranscriber:
    transcriber = DeferredTranscriber(loading, on_failure=loading.fail)
    transcriber.start()
    assert loading.has_begun.wait(DEADLINE_S)
    return transcriber


async def run_transcribe(transcriber: Transcriber) -> str:
    async with asyncio.timeout(DEADLINE_S):
        return (await transcriber.transcribe(Blocks(WAVEFORM), TranscriptionOptions())).text


def test_health_names_the_loading_step_and_then_is_the_transcribers(
    loading: Loading, deferred: DeferredTranscriber
) -> None:
    assert deferred.health().state == "loading"
    loading.report("weights to be converted")
    assert deferred.health().detail == "weights to be converted"
    loading.end(FakeTranscriber())
    assert asyncio.run(run_transcribe(deferred)) == "800 samples"
    assert deferred.health().state == "ready"


def test_there_is_no_activity_before_the_transcribers(loading: Loading, deferred: DeferredTranscriber) -> None:
    assert deferred.activity() == Activity()
    transcriber = FakeTranscriber()
    transcriber.n_finished = 3
    loading.end(transcriber)
    assert loading.has_ended.wait(DEADLINE_S)
    deadline = time.monotonic() + DEADLINE_S
    while deferred.activity() != transcriber.activity():
        assert time.monotonic() < deadline
        time.sleep(0.01)  # The result is there a moment after the load has ended, and nothing tells.


def test_requests_wait_for_loading_and_cancelling_one_does_not_end_others(
    loading: Loading, deferred: DeferredTranscriber
) -> None:
    async def scenario() -> str:
        leaving, staying = (
            asyncio.create_task(run_transcribe(deferred)),
            asyncio.create_task(run_transcribe(deferred)),
        )
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait([leaving])
        assert leaving.cancelled()
        loading.end(FakeTranscriber())
        return await staying

    assert asyncio.run(scenario()) == "800 samples"


def test_a_loading_failure_is_reported_once_and_ends_every_request(
    loading: Loading, deferred: DeferredTranscriber
) -> None:
    loading.end(ModelUnavailable("no such model"))
    for _ in range(2):
        with pytest.raises(ModelNotLoaded, match="no such model"):
            asyncio.run(run_transcribe(deferred))
    assert loading.has_failed.wait(DEADLINE_S)
    assert [str(failure) for failure in loading.failures] == ["no such model"]
    assert (deferred.health().state, deferred.health().detail) == ("failed", "no such model")


def test_a_loading_failure_is_reported_before_those_who_wait_get_it() -> None:
    order: list[str] = []
    told = threading.Event()

    def fail(report: Callable[[str], None]) -> Transcriber:
        raise ModelUnavailable("no such model")

    def tell(error: Exception | None) -> None:
        order.append("told")
        told.set()

    deferred = DeferredTranscriber(fail, on_failure=lambda error: order.append("reported"))
    deferred.add_load_callback(tell)
    deferred.start()
    assert told.wait(DEADLINE_S)
    assert order == ["reported", "told"]


def test_closing_while_loading_ends_requests_and_closes_the_late_transcriber(
    loading: Loading, deferred: DeferredTranscriber
) -> None:
    class Closing(FakeTranscriber):
        def __init__(self) -> None:
            super().__init__()
            self.was_closed = threading.Event()

        def close(self) -> None:
            self.was_closed.set()

    async def scenario() -> None:
        waiting = asyncio.create_task(run_transcribe(deferred))
        await asyncio.sleep(0)
        deferred.close()
        with pytest.raises(EngineUnavailable, match="shutting down"):
            await waiting

    asyncio.run(scenario())
    late = Closing()
    loading.end(late)
    assert late.was_closed.wait(DEADLINE_S)
    assert loading.failures == []


def test_closing_closes_the_loaded_one(loading: Loading, deferred: DeferredTranscriber) -> None:
    fake = FakeTranscriber()
    loading.end(fake)
    asyncio.run(run_transcribe(deferred))
    deferred.close()
    assert fake.is_closed
