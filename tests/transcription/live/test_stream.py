"""A session in an event loop: its threads, its backpressure and its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from hf_asr_endpoint.audio.headerless import PcmFormat
from hf_asr_endpoint.errors import EngineUnavailable
from hf_asr_endpoint.transcription.live.actor import SessionActor
from hf_asr_endpoint.transcription.live.events import Committed, Completed, LiveEvent
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.live.session import LiveSession
from hf_asr_endpoint.transcription.live.stream import LiveStream, open_session
from hf_asr_endpoint.transcription.live.workers import LiveWorkers
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.fakes import DEADLINE_S
from tests.transcription.live.simulation import LoudnessDetector, ScriptedDecoder, script

BY_HAND = LiveOptions(audio=PcmFormat(sample_rate=SAMPLE_RATE), turn_detection=None, language="en")


def pcm(seconds: float) -> bytes:
    return np.full(round(seconds * SAMPLE_RATE), 16_000, "<i2").tobytes()


@asynccontextmanager
async def opened(decoder: ScriptedDecoder) -> AsyncIterator[LiveStream]:
    workers = LiveWorkers(n_workers=2)
    workers.start()
    stream = open_session(LiveSession(LoudnessDetector(), BY_HAND), decoder, enqueue=workers.enqueue)
    try:
        yield stream
    finally:
        stream.close()
        await asyncio.to_thread(workers.close)


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await work()

    asyncio.run(limited())


async def rest_of(stream: LiveStream) -> list[LiveEvent]:
    return [event async for event in stream]


def test_a_session_that_finishes_ends_behind_its_last_turn() -> None:
    async def work() -> None:
        async with opened(ScriptedDecoder(script(4))) as stream:
            stream.push(pcm(2.0))
            stream.finish()
            events = await rest_of(stream)
            assert [type(event) for event in events if isinstance(event, Committed | Completed)] == [
                Committed,
                Completed,
            ]

    run(work)


def test_audio_behind_the_end_opens_no_turn() -> None:
    async def work() -> None:
        decoder = ScriptedDecoder(script(8))
        decoder.hold()
        async with opened(decoder) as stream:
            stream.push(pcm(2.0))
            stream.finish()
            stream.push(pcm(2.0))
            while await anext(stream) != Committed(turn=1):
                pass
            decoder.release()
            texts = [event.text for event in await rest_of(stream) if isinstance(event, Completed)]
            assert texts == ["w0 w1 w2 w3"]

    run(work)


def test_audio_waits_for_a_busy_engine_outside_the_session() -> None:
    async def work() -> None:
        decoder = ScriptedDecoder(script(400))
        decoder.hold()
        async with opened(decoder) as stream:
            stream.push(pcm(200.0))
            waiting = asyncio.create_task(stream.wait_for_room(30.0))
            await asyncio.sleep(0.2)
            assert not waiting.done()
            decoder.release()
            await waiting
            stream.commit()
            completed = await anext(event async for event in stream if isinstance(event, Completed))
            assert completed.duration_s == pytest.approx(200.0)
            assert len(completed.words) == 400

    run(work)


def test_the_error_that_ends_a_session_is_raised_behind_its_events() -> None:
    async def work() -> None:
        decoder = ScriptedDecoder(script(4))
        decoder.hold()
        async with opened(decoder) as stream:
            ended: list[bool] = []
            stream.add_end_callback(lambda: ended.append(True))
            stream.push(pcm(2.0))
            while not decoder.jobs:
                await asyncio.sleep(0.01)
            stream.close(EngineUnavailable("gone"))
            with pytest.raises(EngineUnavailable, match="gone"):
                await rest_of(stream)
            assert ended
            assert all(job.token.is_cancelled for job in decoder.jobs)
            decoder.release()
            stream.push(pcm(1.0))  # Does nothing any more.

    run(work)


def test_a_session_may_be_closed_while_it_works(caplog: pytest.LogCaptureFixture) -> None:
    """What waited was dropped but still counted: the turn went on to take it, and logged an IndexError."""
    ends: list[Exception | None] = []
    actor = SessionActor(
        LiveSession(LoudnessDetector(), BY_HAND),
        ScriptedDecoder(script(4)),
        enqueue=lambda _: None,
        on_events=lambda _: actor.close(),
        on_end=ends.append,
    )
    actor.push(pcm(20.0))
    actor.commit(None)
    actor.take_turn()
    assert (ends, actor.waiting_s, caplog.messages) == ([None], 0.0, [])


def test_a_bug_of_one_session_ends_that_session_alone() -> None:
    class Broken(ScriptedDecoder):
        def begin(self, *_: Any, **__: Any) -> None:
            raise ZeroDivisionError

    async def work() -> None:
        async with opened(Broken()) as stream:
            stream.push(pcm(2.0))
            with pytest.raises(ZeroDivisionError):
                await rest_of(stream)

    run(work)
