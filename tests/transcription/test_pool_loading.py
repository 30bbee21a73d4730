"""Several models: loads that fail, that nobody waits for any more, and what is freed before them."""

from __future__ import annotations

import asyncio
import gc
import weakref

import numpy as np
import pytest

from hf_asr_endpoint.errors import ModelNotLoaded, ModelUnavailable
from hf_asr_endpoint.transcription.pool import ModelPool
from hf_asr_endpoint.types import TranscriptionOptions
from tests.transcription.pooled import Models, run, text, unexpected, until
from tests.transcription.transcribing import Blocks


@pytest.fixture
def models() -> Models:
    return Models()


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
        monkeypatch.setattr("hf_asr_endpoint.transcription.model_room.LOAD_AGAIN_AFTER_S", 0.0)
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
        monkeypatch.setattr("hf_asr_endpoint.transcription.model_room.LOAD_AGAIN_AFTER_S", 0.0)
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
        await until(lambda: pool.health("a").state == "ready")  # Each is loaded in a thread of its own.
        pool.close()

    run(scenario())
