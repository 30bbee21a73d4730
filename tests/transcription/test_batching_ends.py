"""The batching engine on real weights: every request ends, whatever fails, leaves or closes; slots are freed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.errors import EngineError, EngineUnavailable, InvalidAudio, InvalidParameter
from hf_asr_endpoint.transcription.batching import BatchingTranscriber
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.preparation_workers import PreparationWorkers
from hf_asr_endpoint.types import Segment, Transcription, TranscriptionOptions, Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.fakes import DEADLINE_S
from tests.transcription.transcribing import (
    GREEDY,
    N_SLOTS,
    SPOKEN,
    Blocks,
    Loaded,
    WatchedModel,
    pause,
    plain,
    run_transcribe,
    running,
    transcribe,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_an_error_of_the_reader_is_raised(transcriber: BatchingTranscriber, speech: Waveform) -> None:
    def broken() -> Iterator[Waveform]:
        yield np.concatenate([speech, pause(5)] * 3)
        raise InvalidAudio("cut off")

    with pytest.raises(InvalidAudio, match="cut off"):
        run_transcribe(transcriber, broken())
    assert SPOKEN in plain(run_transcribe(transcriber, [speech]).text)


def test_a_failure_of_the_model_is_an_engine_error_and_the_next_request_works(
    transcriber: BatchingTranscriber, speech: Waveform, model: WatchedModel
) -> None:
    model.failure = MemoryError("no room")
    with pytest.raises(EngineError, match="the model failed: MemoryError: no room"):
        run_transcribe(transcriber, [speech])
    assert transcriber.health().state == "ready"
    assert SPOKEN in plain(run_transcribe(transcriber, [speech]).text)


def test_an_engine_that_dies_shows_in_health_and_ends_every_request(
    transcriber: BatchingTranscriber, speech: Waveform, model: WatchedModel
) -> None:
    model.failure = SystemExit("gone")

    async def together() -> list[Transcription | BaseException]:
        return await asyncio.gather(*(transcribe(transcriber, [speech]) for _ in range(3)), return_exceptions=True)

    results = asyncio.run(together())
    assert [type(result) for result in results] == [EngineUnavailable] * 3
    health = transcriber.health()
    assert (health.state, health.detail) == ("failed", "the engine has stopped: SystemExit: gone")
    with pytest.raises(EngineUnavailable, match="SystemExit"):
        run_transcribe(transcriber, [speech])


def test_a_live_session_that_opens_while_the_transcriber_closes_ends(
    transcriber: BatchingTranscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "open_session", lambda engine: transcriber.close())

    async def scenario() -> None:
        async with asyncio.timeout(DEADLINE_S):
            async for _ in await transcriber.live(LiveOptions()):
                pass

    with pytest.raises(EngineUnavailable, match="shutting down"):
        asyncio.run(scenario())


def test_an_engine_for_which_nothing_prepares_has_failed(model: WatchedModel, tiny_en_loaded: Loaded) -> None:
    class NoWorkers(PreparationWorkers):
        failure = "preparation 0: no memory"

    with contextmanager(running)(model, tiny_en_loaded, prepare=NoWorkers) as transcriber:
        health = transcriber.health()
    assert (health.state, health.detail) == ("failed", "preparation 0: no memory")


def test_cancelling_frees_the_slots_within_a_step(
    transcriber: BatchingTranscriber, speech: Waveform, model: WatchedModel
) -> None:
    async def scenario() -> None:
        task = asyncio.create_task(transcribe(transcriber, [np.concatenate([speech, pause(5)] * 3)]))
        model.may_step.clear()
        await asyncio.to_thread(model.is_stepping.wait, DEADLINE_S)
        n_steps = model.n_steps
        task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)  # The request is cancelled while the engine is in the middle of a step.
        model.may_step.set()
        await asyncio.wait([task])
        assert task.cancelled()
        assert model.n_steps == n_steps, "there was no other step"
        assert (await transcribe(transcriber, [speech[: 2 * SAMPLE_RATE]])).text

    asyncio.run(scenario())
    assert model.busy == set()


def endless(block: Waveform) -> Iterator[Waveform]:
    while True:
        yield block


def test_cancelling_ends_the_call_of_an_endless_reader_and_closes_it(transcriber: BatchingTranscriber) -> None:
    reader = Blocks(endless(np.zeros(16_000, np.float32)))

    async def scenario() -> None:
        task = asyncio.create_task(transcriber.transcribe(reader, GREEDY))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait([task], timeout=DEADLINE_S)
        assert task.cancelled()

    asyncio.run(scenario())
    assert reader.is_closed.wait(DEADLINE_S)
    assert run_transcribe(transcriber, [pause(1)]).text == ""


def test_a_closed_stream_has_segments_before_the_audio_ends_and_stops_reading(
    transcriber: BatchingTranscriber, speech: Waveform, model: WatchedModel
) -> None:
    reader = Blocks(endless(np.concatenate([speech, pause(8)])))

    async def scenario() -> None:
        stream = await transcriber.stream(reader, GREEDY)
        async for event in stream:
            if isinstance(event, Segment):
                break
        stream.close()

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S))
    assert reader.is_closed.wait(DEADLINE_S)
    assert SPOKEN in plain(run_transcribe(transcriber, [speech]).text)
    assert model.busy == set()


def test_a_step_that_hangs_shows_in_health_until_it_ends(
    model: WatchedModel, tiny_en_loaded: Loaded, speech: Waveform
) -> None:
    model.may_step.clear()

    async def scenario(transcriber: BatchingTranscriber) -> str:
        task = asyncio.create_task(transcribe(transcriber, [speech]))
        while transcriber.health().state == "ready":
            await asyncio.sleep(0.01)
        detail = transcriber.health().detail
        model.may_step.set()
        await task
        assert transcriber.health().state == "ready"
        return detail

    with contextmanager(running)(model, tiny_en_loaded, max_step_s=1.5) as transcriber:
        detail = asyncio.run(asyncio.wait_for(scenario(transcriber), DEADLINE_S))
    assert re.fullmatch(r"a step of the model has taken \d+ s so far; allowed: 1\.5 s", detail)


def test_refused_options_close_the_reader(transcriber: BatchingTranscriber) -> None:
    reader = Blocks([])

    async def scenario() -> None:
        with pytest.raises(InvalidParameter, match="num_beams"):
            await transcriber.transcribe(
                reader, TranscriptionOptions(decoding=DecodingOptions.from_flat(num_beams=N_SLOTS + 1))
            )

    asyncio.run(scenario())
    assert reader.is_closed.is_set()


def test_closing_ends_running_and_waiting_requests(
    transcriber: BatchingTranscriber, speech: Waveform, model: WatchedModel
) -> None:
    model.may_step.clear()

    async def scenario() -> list[Transcription | BaseException]:
        tasks = [asyncio.create_task(transcribe(transcriber, [speech])) for _ in range(12)]
        await asyncio.to_thread(model.is_stepping.wait, DEADLINE_S)
        closing = asyncio.create_task(asyncio.to_thread(transcriber.close))
        while transcriber.health().state == "ready":
            await asyncio.sleep(0)
        model.may_step.set()
        await closing
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S))
    assert [type(result) for result in results] == [EngineUnavailable] * 12
    assert transcriber.health().detail == "the server is shutting down"
    with pytest.raises(EngineUnavailable, match="shutting down"):
        run_transcribe(transcriber, [speech])
