"""Several models: each request gets its own, and models come and go within the memory that they have."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from hf_asr_endpoint.errors import EngineUnavailable
from hf_asr_endpoint.transcription.pool import ModelPool
from hf_asr_endpoint.types import Transcription, TranscriptionOptions
from tests.transcription.pooled import Models, run, text, unexpected, until
from tests.transcription.transcribing import Blocks


@pytest.fixture
def models() -> Models:
    return Models()


def test_each_request_gets_its_model_and_the_first_one_is_the_default(models: Models) -> None:
    async def scenario() -> None:
        pool = ModelPool([models.pooled("a", at_start=True), models.pooled("b")], on_failure=unexpected)
        pool.start()
        assert (pool.health("b").state, pool.activity("b").slots) == ("unloaded", 0)
        assert await asyncio.gather(*(text(pool, name) for name in (None, "b", "a", "b"))) == ["a", "b", "a", "b"]
        assert sorted(models.names) == ["a", "b"], "each once, in threads of their own"
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
