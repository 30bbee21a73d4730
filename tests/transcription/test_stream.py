from __future__ import annotations

import asyncio
import threading

import pytest

from hf_asr_endpoint.cancellation import CancellationToken
from hf_asr_endpoint.errors import EngineError, InvalidAudio
from hf_asr_endpoint.transcription.stream import TranscriptionStream
from tests.fakes import make_segment

SEGMENTS = [make_segment(f" {n}", end=n + 1.0) for n in range(100)]


def test_events_of_another_thread_arrive_in_order() -> None:
    async def scenario() -> list[object]:
        stream = TranscriptionStream(CancellationToken())

        def work() -> None:
            for segment in SEGMENTS:
                stream.put(segment)
            stream.finish()

        thread = threading.Thread(target=work)
        thread.start()
        events = [event async for event in stream]
        thread.join()
        return events

    assert asyncio.run(scenario()) == SEGMENTS


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        pytest.param(InvalidAudio("cut off"), InvalidAudio, "^cut off$", id="ours"),
        pytest.param(ValueError("odd"), ValueError, "^odd$", id="of another library"),
        pytest.param(SystemExit("odd"), EngineError, "^the transcription ended: SystemExit: odd$", id="an exit"),
    ],
)
def test_an_error_is_raised_after_the_events_before_it(
    raised: BaseException, expected: type[Exception], message: str
) -> None:
    async def scenario() -> None:
        stream = TranscriptionStream(CancellationToken())
        stream.put(SEGMENTS[0])
        stream.finish(raised)
        await stream.wait_for_event()
        assert await anext(stream) == SEGMENTS[0]
        with pytest.raises(expected, match=message):
            await anext(stream)

    asyncio.run(scenario())


def test_waiting_for_the_first_event_raises_an_error_that_comes_instead() -> None:
    async def scenario() -> None:
        stream = TranscriptionStream(CancellationToken())
        stream.finish(InvalidAudio("no audio"))
        with pytest.raises(InvalidAudio, match="no audio"):
            await stream.wait_for_event()

    asyncio.run(scenario())


def test_closing_cancels_the_work_and_returns_at_once() -> None:
    token = CancellationToken()

    async def scenario() -> None:
        TranscriptionStream(token).close()

    asyncio.run(scenario())
    assert token.is_cancelled
