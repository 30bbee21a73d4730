"""What a client gets that does not follow the protocol, takes too much, or leaves."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from wyoming.asr import Transcribe
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Event

from hf_asr_endpoint.api.live_socket import Close
from hf_asr_endpoint.api.wyoming.wire import MAX_DATA_BYTES, MAX_LINE_BYTES, TcpWire
from hf_asr_endpoint.types import Health
from tests.api.conftest import DEADLINE_S
from tests.api.wyoming.conftest import (
    RATE,
    WIDTH,
    Port,
    begin,
    rest,
    samples,
    serving,
    speak,
    stop,
    text_of,
    until,
)
from tests.fakes import FakeTranscriber

FORMAT = {"rate": RATE, "width": WIDTH, "channels": 1}
START, STOP = AudioStart(**FORMAT).event(), AudioStop().event()
CHUNK = AudioChunk(**FORMAT, audio=bytes(100)).event()
SPEECH = AudioChunk(**FORMAT, audio=samples(2.0)).event()


async def refusal(port: Port, *events: Event) -> str:
    """Return what the error says, which is the last event."""
    async with port.connect() as client:
        for event in events:
            await client.write_event(event)
        last = (await rest(client))[-1]
        assert last.type == "error", last
        return str(last.data["text"])


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (
            [Transcribe(name="other").event(), START],
            "the model 'other' is not served here; allowed: openai",
        ),
        ([Transcribe(language="Klingon").event()], "language is 'Klingon'; allowed: one of Whisper's"),
        ([Event("transcribe", {"transcript_names": "Anna"})], "transcript_names is 'Anna'; allowed: at most 1000"),
        ([Transcribe(transcript_names=["a" * 6_000], transcript_terms=["b" * 6_000]).event()], "12002 characters"),
        ([Event("audio-start", {})], "rate is absent; allowed: 1000 to 192000"),
        ([AudioStart(rate=500, width=2, channels=1).event()], "rate is 500; allowed: 1000 to 192000"),
        ([AudioStart(rate=16_000, width=8, channels=1).event()], "width is 8; allowed: 1, 2, 3 or 4 bytes"),
        ([AudioStart(rate=16_000, width=2, channels=0).event()], "channels is 0; allowed: 1 to 8"),
        ([AudioStart(rate=192_000, width=4, channels=8).event()], "6144000 bytes a second"),
        ([Event("audio-start", {**FORMAT, "rate": "16000"})], "rate is '16000'"),
        ([START, START], "audio-start came at the wrong time; allowed on one connection"),
        ([START, Transcribe().event()], "transcribe came at the wrong time"),
        ([STOP], "audio-stop came at the wrong time"),
        ([START, AudioChunk(rate=8_000, width=2, channels=1, audio=b"").event()], "rate is 8000 in audio-chunk"),
        (
            [Event("describe", payload=b"1234")],
            "'describe' has a payload of 4 bytes; allowed",
        ),
        ([Event("ping", {"text": 1})], "text is 1; allowed: a text"),
    ],
)
def test_a_wrong_event_is_explained_and_ends_the_connection(
    transcriber: FakeTranscriber, events: list[Event], message: str
) -> None:
    async def run() -> str:
        async with serving(transcriber) as port:
            return await refusal(port, *events)

    assert message in asyncio.run(run())


@pytest.mark.parametrize("event", [Event("describe"), Transcribe().event(), START])
def test_a_model_without_live_sessions_is_told_at_once(transcriber: FakeTranscriber, event: Event) -> None:
    transcriber._health = Health(state="ready", no_live_sessions="the model has no live sessions")

    async def run() -> str:
        async with serving(transcriber) as port:
            return await refusal(port, event)

    assert asyncio.run(run()) == "the model has no live sessions"


def test_audio_behind_its_end_is_refused(transcriber: FakeTranscriber) -> None:
    transcriber.live_decoder.hold()

    async def run() -> str:
        async with serving(transcriber) as port:
            return await refusal(port, START, SPEECH, STOP, CHUNK)

    assert "audio-chunk came at the wrong time" in asyncio.run(run())


def test_an_event_of_another_service_is_told_and_the_connection_goes_on(transcriber: FakeTranscriber) -> None:
    async def run() -> str:
        async with serving(transcriber) as port, port.connect() as client:
            await client.write_event(Event("synthesize", {"text": "Hello"}))
            told = await client.read_event()
            assert told is not None
            assert told.data["text"].startswith("type is 'synthesize'; allowed: describe, ping, transcribe")
            await begin(client)
            await speak(client, samples(2.0))
            await stop(client)
            return await text_of(client)

    assert asyncio.run(run()) == "w0 w1 w2 w3"


def line(**fields: Any) -> bytes:
    return json.dumps(fields).encode() + b"\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", "which is not JSON; allowed: a JSON object"),
        (b"[]\n", "the line is []; allowed: a JSON object"),
        (b"{}\n", "type is absent; allowed: a text of at most 100 characters"),
        (line(type=["ping"]), "type is ['ping']"),
        (line(type="a" * 101), "type is 'aaa"),
        (line(type="ping", data=[1]), "data is [1]; allowed: an object"),
        (line(type="ping", data_length=-1), "data_length is -1; allowed: 0 to 65536"),
        (line(type="ping", data_length=MAX_DATA_BYTES + 1), "data_length is 65537; allowed: 0 to 65536"),
        (line(type="ping", payload_length=1.5), "payload_length is 1.5; allowed: a number of bytes"),
        (line(type="ping", payload_length=True), "payload_length is True"),
        (line(type="ping", data_length=2) + b"[]", "the data is []; allowed: a JSON object"),
        (b'{"type": ' * 9_000 + b"\n", "a line is too long; allowed: 65536 bytes"),
        (b'{"a":' * 7_000 + b"\n", "which is not JSON"),
        (b"x" * (2 * MAX_LINE_BYTES), "a line is too long; allowed: 65536 bytes"),
        (b"\xff\xfe\n", "which is not JSON"),
    ],
)
def test_what_is_no_event_is_explained(transcriber: FakeTranscriber, data: bytes, message: str) -> None:
    async def run() -> str:
        async with serving(transcriber) as port, asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
            writer.write(data)
            answer = await reader.read()
            writer.close()
            return json.loads(answer.split(b"\n", 1)[1])["text"]

    assert message in asyncio.run(run())


def test_one_session_too_many_is_refused_until_another_ends(transcriber: FakeTranscriber) -> None:
    async def run() -> None:
        async with serving(transcriber, max_sessions=1) as port:
            async with port.connect() as first:
                await begin(first)
                await speak(first, samples(2.0))
                await until(lambda: port.sessions.n_open == 1)
                assert "1 live sessions are open; allowed: 1" in await refusal(port, START, CHUNK, STOP)
                await stop(first)
                assert await text_of(first) == "w0 w1 w2 w3"
            await until(lambda: port.sessions.n_open == 0)
            async with port.connect() as client:
                await begin(client)
                await stop(client)
                assert await text_of(client) == ""

    asyncio.run(run())


def test_a_connection_too_many_takes_the_place_of_an_idle_one(transcriber: FakeTranscriber) -> None:
    async def run() -> None:
        async with serving(transcriber, max_connections=2) as port, port.connect() as speaking:
            await begin(speaking)
            await until(lambda: port.sessions.n_open == 1)
            async with port.connect() as idle, port.connect() as newer:
                await begin(newer)
                assert await rest(idle) == []
                await until(lambda: port.sessions.n_open == 2)
                assert "2 connections are open, all with an utterance or about to end" in await refusal(port)
            await speak(speaking, samples(2.0))
            await stop(speaking)
            assert await text_of(speaking) == "w0 w1 w2 w3"

    asyncio.run(run())


def test_connections_that_take_long_to_end_are_at_most_as_many_again(
    transcriber: FakeTranscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        goes_on, close = asyncio.Event(), TcpWire.close

        async def close_late(wire: TcpWire, how: Close) -> None:
            await goes_on.wait()
            await close(wire, how)

        monkeypatch.setattr(TcpWire, "close", close_late)
        async with serving(transcriber, max_connections=1) as port, port.connect() as oldest:
            await oldest.write_event(Event("ping"))
            await oldest.read_event()
            async with port.connect() as newer, port.connect() as newest:
                await newer.write_event(Event("ping"))
                assert await newer.read_event() == Event("pong")
                told = await newest.read_event()
                assert told is not None
                assert told.data["text"].startswith("1 connections are open")
                goes_on.set()
                assert await rest(newest) == []

    asyncio.run(run())


def test_the_socket_is_not_read_beyond_the_audio_that_may_wait(transcriber: FakeTranscriber) -> None:
    transcriber.live_decoder.hold()

    async def run() -> str:
        async with serving(transcriber, max_waiting_audio_s=5.0) as port, port.connect() as client:
            await begin(client)
            speaking = asyncio.create_task(speak(client, samples(600.0), piece_bytes=RATE * WIDTH * 60))
            await until(lambda: bool(transcriber.live_decoder.jobs))
            await asyncio.sleep(0.2)
            assert not speaking.done()
            transcriber.live_decoder.release()
            await speaking
            await stop(client)
            return await text_of(client)

    assert len(asyncio.run(run()).split()) == 40
