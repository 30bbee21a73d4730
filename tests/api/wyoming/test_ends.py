"""How a connection ends that no transcript ends: the client leaves, its time is over, or the server shuts down."""

from __future__ import annotations

import asyncio

import pytest
from wyoming.event import Event

from hf_asr_endpoint.errors import EngineUnavailable
from tests.api.conftest import DEADLINE_S
from tests.api.wyoming.conftest import begin, rest, samples, serving, speak, stop, text_of, until
from tests.api.wyoming.test_limits import CHUNK, START, refusal
from tests.fakes import FakeTranscriber


@pytest.mark.parametrize("has_stopped", [False, True])
def test_a_client_that_leaves_has_its_passes_cancelled(transcriber: FakeTranscriber, has_stopped: bool) -> None:
    transcriber.live_decoder.hold()
    jobs = transcriber.live_decoder.jobs

    async def run() -> None:
        async with serving(transcriber) as port:
            async with port.connect() as client:
                await begin(client)
                await speak(client, samples(2.0))
                if has_stopped:
                    await stop(client)
                await until(lambda: bool(jobs))
            await until(lambda: all(job.token.is_cancelled for job in jobs) and port.sessions.n_open == 0)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"idle_timeout_s": 0.3}, "there was no message for 0.3 s"),
        ({"max_session_s": 0.3}, "the session has lasted 0.3 s"),
    ],
)
@pytest.mark.parametrize("events", [[], [START, CHUNK]])
def test_a_connection_ends_when_its_time_is_over(
    transcriber: FakeTranscriber, limits: dict[str, float], message: str, events: list[Event]
) -> None:
    async def run() -> str:
        async with serving(transcriber, **limits) as port:
            return await refusal(port, *events)

    assert message in asyncio.run(run())


def test_a_line_that_does_not_end_is_not_waited_for(transcriber: FakeTranscriber) -> None:
    async def run() -> None:
        async with serving(transcriber, idle_timeout_s=0.3) as port, asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
            for _ in range(6):
                writer.write(b" ")
                await asyncio.sleep(0.1)
            assert b"SessionExpired" in await reader.read()
            writer.close()

    asyncio.run(run())


def test_a_session_that_is_lost_says_so(transcriber: FakeTranscriber) -> None:
    async def run() -> None:
        async with serving(transcriber) as port, port.connect() as client:
            await begin(client)
            await speak(client, samples(0.2))
            await until(lambda: bool(transcriber.live_streams))
            transcriber.live_streams[0].close(EngineUnavailable("the engine has stopped"))
            [event] = await rest(client)
            assert event.data == {"text": "the engine has stopped", "code": "EngineUnavailable"}

    asyncio.run(run())


def test_an_utterance_that_ends_behind_a_shutdown_keeps_its_text(transcriber: FakeTranscriber) -> None:
    transcriber.live_decoder.hold()

    async def run() -> list[str]:
        async with serving(transcriber) as port, port.connect() as client:
            await begin(client)
            await speak(client, samples(2.0))
            await client.write_event(Event("ping"))
            await client.read_event()
            draining = asyncio.create_task(port.sessions.drain(DEADLINE_S))
            await asyncio.sleep(0)
            await stop(client)
            await asyncio.sleep(0.2)  # Nothing tells that the session has come to it, which is the point.
            transcriber.live_decoder.release()
            texts = [event.data["text"] for event in await rest(client) if event.type == "transcript"]
            await draining
            return texts

    assert asyncio.run(run()) == ["w0 w1 w2 w3"]


def test_a_shutdown_does_not_wait_for_an_utterance_without_speech(transcriber: FakeTranscriber) -> None:
    async def run() -> None:
        async with serving(transcriber) as port, port.connect() as client:
            await begin(client)
            await speak(client, samples(2.0, level=0.001))
            await until(lambda: bool(transcriber.live_streams))
            await port.sessions.drain(DEADLINE_S)
            assert await rest(client) == []
            assert port.sessions.n_open == 0

    asyncio.run(run())


def test_a_shutdown_lets_the_words_so_far_come_back(transcriber: FakeTranscriber) -> None:
    async def run() -> None:
        async with serving(transcriber) as port, port.connect() as client, port.connect() as idle:
            await begin(client)
            await speak(client, samples(2.0))
            await client.write_event(Event("ping"))
            await client.read_event()  # Now all audio has been taken.
            draining = asyncio.create_task(port.sessions.drain(DEADLINE_S))
            assert await text_of(client) == "w0 w1 w2 w3"
            await draining
            await idle.write_event(START)
            [error] = await rest(idle)
            assert error.data["text"] == "the server is shutting down"

    asyncio.run(run())
