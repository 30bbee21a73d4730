"""On whose behalf a transcription is made: who waits, is refused, and is told how far it is. With real weights."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager

import pytest

from hf_asr_endpoint.errors import Overloaded
from hf_asr_endpoint.transcription.batching import BatchingTranscriber
from hf_asr_endpoint.types import Caller, Progress, Transcription, Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.fakes import DEADLINE_S
from tests.transcription.transcribing import (
    GREEDY,
    MAX_WAITING_AUDIO_S,
    SPOKEN,
    Blocks,
    Loaded,
    WatchedModel,
    pause,
    plain,
    running,
    transcribe,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_caller_is_told_how_far_its_recording_is(transcriber: BatchingTranscriber, speech: Waveform) -> None:
    blocks = [speech, pause(8)] * 3
    length_s = sum(map(len, blocks)) / SAMPLE_RATE
    told: list[Progress] = []

    async def scenario() -> Transcription:
        caller = Caller(on_progress=told.append)
        return await transcriber.transcribe(Blocks(blocks, declared_s=length_s), GREEDY, caller)

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S))
    assert len(told) >= 3
    assert [progress.done_s for progress in told] == sorted(progress.done_s for progress in told)
    assert {progress.length_s for progress in told} == {length_s}
    last = told[-1].fraction
    assert last is not None
    assert 0.7 < last < 1.0, "all but the silence at the end"


def test_more_audio_than_may_wait_is_refused_until_some_is_done(
    transcriber: BatchingTranscriber, speech: Waveform, model: WatchedModel
) -> None:
    async def scenario() -> tuple[str, str, str]:
        model.may_step.clear()
        long = asyncio.create_task(
            transcriber.transcribe(Blocks([speech], declared_s=MAX_WAITING_AUDIO_S - 1), GREEDY)
        )
        await asyncio.to_thread(model.is_stepping.wait, DEADLINE_S)
        assert transcriber.activity().waiting_audio_s == MAX_WAITING_AUDIO_S - 1
        with pytest.raises(Overloaded, match=f"this request has 11 s; allowed: {MAX_WAITING_AUDIO_S:g} s in all"):
            await transcriber.transcribe(Blocks([speech], declared_s=11.0), GREEDY)
        job = asyncio.create_task(
            transcriber.transcribe(Blocks([speech], declared_s=11.0), GREEDY, Caller(is_patient=True))
        )
        unknown = asyncio.create_task(transcriber.transcribe(Blocks([speech]), GREEDY))
        model.may_step.set()
        return (await long).text, (await job).text, (await unknown).text

    texts = asyncio.run(asyncio.wait_for(scenario(), 2 * DEADLINE_S))
    assert all(SPOKEN in plain(text) for text in texts)
    assert transcriber.activity().waiting_audio_s == 0
    assert (transcriber.activity().speed or 0) > 0


def test_a_request_that_would_wait_too_long_is_refused_before_it_is_read(
    model: WatchedModel, tiny_en_loaded: Loaded, speech: Waveform
) -> None:
    async def scenario(transcriber: BatchingTranscriber) -> str:
        await transcribe(transcriber, [speech])  # From now on its speed is known.
        model.may_step.clear()
        first = asyncio.create_task(transcribe(transcriber, [speech]))
        await asyncio.sleep(0)  # It has its place when it has been started.
        refused = Blocks([speech])
        with pytest.raises(Overloaded, match=r"s for its turn now; allowed: 0\.001 s"):
            await transcriber.transcribe(refused, GREEDY)
        assert refused.is_closed.is_set()
        model.may_step.set()
        return (await first).text

    with contextmanager(running)(model, tiny_en_loaded, max_wait_s=0.001) as transcriber:
        assert SPOKEN in plain(asyncio.run(asyncio.wait_for(scenario(transcriber), 2 * DEADLINE_S)))
