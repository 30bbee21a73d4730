"""Several models: each request gets its own, and models come and go within the memory that they have."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hf_asr_endpoint.errors import EngineUnavailable, ModelNotLoaded, ModelUnavailable
from hf_asr_endpoint.transcription.pool import ModelPool, PooledModel
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import Health, ModelInfo, Transcription, TranscriptionOptions
from tests.fakes import FakeTranscriber, make_segment
from tests.transcription.transcribing import Blocks

DEADLINE_S = 10.0
INFO = ModelInfo(device="cpu", dtype="float32", is_multilingual=True, n_mels=80, memory_bytes=100)


class Models:
    """Loads fakes whose text is their name, each of 100 bytes. loaded: those that are in memory, in order."""

    def __init__(self) -> None:
        self.loaded: list[FakeTranscriber] = []
        self.names: list[str] = []
        """Of every load, in order."""
        self.most = 0
        """How many were loaded at the same time, at most."""
        self.failures: dict[str, Exception] = {}
        self.holds = False
        self.load_s = 0.0
        self.on_load: Callable[[], None] = lambda: None

    def pooled(self, name: str, *, at_start: bool = False) -> PooledModel:
        def load(report: Callable[[str], None]) -> Transcriber:
            time.sleep(self.load_s)
            self.on_load()
            if failure := self.failures.pop(name, None):
                raise failure
            fake = FakeTranscriber(
                segments=(make_segment(f" {name}", end=0.05),), health=Health(state="ready", model=INFO)
            )
            if self.holds:
                fake.hold()
            self.names.append(name)
            self.loaded = [*self.in_memory(), fake]
            self.most = max(self.most, len(self.loaded))
            return fake

        return PooledModel(id=name, load=load, loads_at_start=at_start)

    def in_memory(self) -> list[FakeTranscriber]:
        return [fake for fake in self.loaded if not fake.is_closed]


@pytest.fixture
def models() -> Models:
    return Models()


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, DEADLINE_S))


async def text(pool: ModelPool, model: str | None) -> str:
    reader = Blocks([np.zeros(800, np.float32)])
    return (await pool.transcribe(reader, TranscriptionOptions(model=model))).text


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def unexpected(error: Exception) -> None:
    raise AssertionError("the server would stop") from error


def test_each_request_gets_its_model_and_the_first_one_is_the_default(models: Models) -> None:
    async def scenario() -> None:
        pool = ModelPool([models.pooled("a", at_start=True), models.pooled("b")], on_failure=unexpected)
        pool.start()
        assert (pool.health("b").state, pool.activity("b").slots) == ("unloaded", 0)
        assert await asyncio.gather(*(text(pool, name) for name in (None, "b", "a", "b"))) == ["a", "b", "a", "b"]
        assert models.names == ["a", "b"]
        assert (pool.health("b").state, pool.activity("b").slots) == ("ready", 1)
        pool.close()
        assert models.in_memory() == []
        with pytest.raises(EngineUnavailable):
            await text(pool, "b")

    run(scenario())


def test_a_model_that_does_not_fit_takes_the_place_of_the_one_unused_the_longest(models: Models) -> None:
    async def scenario() -> None:
        pool = ModelPool(
            [models.pooled("a", at_start=True), models.pooled("b"), models.pooled("c")],
            on_failure=unexpected,
            max_bytes=250,
        )
        pool.start()
        for name in "abcabcc":
            assert await text(pool, name) == name
        await until(lambda: len(models.in_memory()) <= 2)
        assert pool.health().state == "ready", "one of them is always unloaded"
        pool.close()

    run(scenario())
    assert models.most <= 2


def test_many_clients_alternate_between_models_of_which_one_fits(models: Models) -> None:
    async def scenario() -> None:
        pool = ModelPool(
            [models.pooled("a", at_start=True), models.pooled("b")], on_failure=unexpected, max_bytes=150
        )
        pool.start()

        async def client(number: int) -> list[str]:
            return [await text(pool, "ab"[(number + turn) % 2]) for turn in range(6)]

        texts = await asyncio.gather(*(client(number) for number in range(16)))
        assert texts == [["ab"[(number + turn) % 2] for turn in range(6)] for number in range(16)]
        pool.close()

    run(scenario())
    assert models.most == 1
    assert len(models.names) <= 2 * 6 + 2, "those who wait for a model share its time"


def test_a_model_ends_its_requests_before_it_leaves_and_takes_no_new_ones(models: Models) -> None:
    async def scenario() -> None:
        pool = ModelPool(
            [models.pooled("a", at_start=True), models.pooled("b")], on_failure=unexpected, max_bytes=150
        )
        models.holds = True
        pool.start()
        first = asyncio.create_task(text(pool, "a"))
        await until(lambda: bool(models.loaded and models.loaded[0].n_running))
        models.holds = False
        other = asyncio.create_task(text(pool, "b"))
        await asyncio.sleep(0.05)
        later = asyncio.create_task(text(pool, "a"))
        await asyncio.sleep(0.05)
        assert models.names == ["a"], "its request has not ended"
        models.loaded[0].release()
        assert [await first, await other, await later] == ["a", "b", "a"]
        assert models.names == ["a", "b", "a"]
        pool.close()

    run(scenario())


def test_a_stream_keeps_its_model_until_it_ends(models: Models) -> None:
    async def scenario() -> None:
        pool = ModelPool([models.pooled("a"), models.pooled("b")], on_failure=unexpected, max_bytes=150)
        models.holds = True
        stream = await pool.stream(Blocks([np.zeros(800, np.float32)]), TranscriptionOptions(model="a"))
        await until(lambda: bool(models.loaded and models.loaded[0].n_running))
        models.holds = False
        other = asyncio.create_task(text(pool, "b"))
        await asyncio.sleep(0.05)
        assert not other.done()
        models.loaded[0].release()
        *_, last = [event async for event in stream]
        assert isinstance(last, Transcription)
        assert await other == "b"
        pool.close()

    run(scenario())


def test_a_model_that_nobody_asks_for_is_unloaded(models: Models) -> None:
    async def scenario() -> None:
        pool = ModelPool(
            [models.pooled("a", at_start=True), models.pooled("b")], on_failure=unexpected, idle_timeout_s=0.05
        )
        pool.start()
        await text(pool, "a")
        await text(pool, "b")
        await until(lambda: pool.health("b").state == "unloaded")
        await until(lambda: len(models.in_memory()) == 1)
        assert pool.health("a").state == "ready", "it was loaded at the start"
        assert await text(pool, "b") == "b"
        pool.close()

    run(scenario())


def test_a_model_that_cannot_be_loaded_fails_its_requests_and_may_be_tried_again(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        pool = ModelPool([models.pooled("a", at_start=True), models.pooled("b")], on_failure=unexpected)
        pool.start()
        models.failures["b"] = ModelUnavailable("no such model")
        reader = Blocks([np.zeros(800, np.float32)])
        with pytest.raises(ModelNotLoaded, match="no such model"):
            await pool.transcribe(reader, TranscriptionOptions(model="b"))
        assert reader.is_closed.is_set()
        await until(lambda: pool.health("b").state == "unloaded")
        models.failures["b"] = ModelUnavailable("still none")
        with pytest.raises(ModelNotLoaded, match="no such model"):
            await text(pool, "b")
        models.failures.clear()
        monkeypatch.setattr("hf_asr_endpoint.transcription.pool.LOAD_AGAIN_AFTER_S", 0.0)
        assert (await text(pool, "a"), await text(pool, "b")) == ("a", "b")
        pool.close()

    run(scenario())


def test_a_model_that_cannot_be_loaded_makes_no_other_one_leave_again_and_again(models: Models) -> None:
    async def scenario() -> None:
        pool = ModelPool(
            [models.pooled("a", at_start=True), models.pooled("b")], on_failure=unexpected, max_bytes=150
        )
        pool.start()
        assert await text(pool, "a") == "a"
        models.failures["b"] = ModelUnavailable("no such model")
        for _ in range(5):
            with pytest.raises(ModelNotLoaded):
                await text(pool, "b")
            assert await text(pool, "a") == "a"
        assert models.names == ["a", "a"]
        pool.close()

    run(scenario())


def test_a_load_whose_clients_have_left_is_ended_before_the_next_one_begins(models: Models) -> None:
    """Each request for another model began a load beside those before it, until the memory was full."""

    async def scenario() -> None:
        names = "abcdefgh"
        pool = ModelPool([models.pooled(name) for name in names], on_failure=unexpected, max_bytes=150)
        models.load_s = 0.03
        for name in names:
            leaving = asyncio.create_task(text(pool, name))
            await asyncio.sleep(0.01)
            leaving.cancel()
        assert await text(pool, "h") == "h"
        pool.close()

    run(scenario())
    assert models.most == 1


def test_a_load_that_fails_while_another_model_waits_for_its_memory_harms_nobody(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        pool = ModelPool([models.pooled("a"), models.pooled("b")], on_failure=unexpected, max_bytes=150)
        models.load_s = 0.05
        models.failures["a"] = ModelUnavailable("no such model")
        broken = asyncio.create_task(text(pool, "a"))
        await asyncio.sleep(0.02)
        assert await text(pool, "b") == "b"
        with pytest.raises(ModelNotLoaded):
            await broken
        monkeypatch.setattr("hf_asr_endpoint.transcription.pool.LOAD_AGAIN_AFTER_S", 0.0)
        assert await text(pool, "a") == "a", "and it may come again"
        pool.close()

    run(scenario())


def test_an_unloaded_model_is_freed_before_the_next_one_is_loaded(models: Models) -> None:
    """A cycle, such as a model has, stayed until some later collection, beside the next model."""
    freed: list[str] = []

    async def scenario() -> None:
        pool = ModelPool([models.pooled("a"), models.pooled("b")], on_failure=unexpected, max_bytes=150)
        assert await text(pool, "a") == "a"
        (fake,) = models.loaded
        fake.itself = fake  # type: ignore[attr-defined] # As an engine's callbacks do.
        weakref.finalize(fake, freed.append, "a")
        models.loaded.clear()
        del fake
        models.on_load = lambda: freed.append("b is loaded")
        assert await text(pool, "b") == "b"
        pool.close()

    gc.disable()
    try:
        run(scenario())
    finally:
        gc.enable()
    assert freed == ["a", "b is loaded"]


def test_the_server_is_not_ready_before_all_models_of_the_start_are(models: Models) -> None:
    async def scenario() -> None:
        stopped: list[Exception] = []
        models.failures["b"] = ModelUnavailable("no such model")
        pool = ModelPool(
            [models.pooled("a", at_start=True), models.pooled("b", at_start=True)], on_failure=stopped.append
        )
        pool.start()
        await until(lambda: bool(stopped))
        assert (pool.health().state, pool.health().detail) == ("failed", "no such model")
        assert replace(pool.health("a"), model=None).state == "ready"
        pool.close()

    run(scenario())
