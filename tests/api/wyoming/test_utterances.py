"""What a client gets that follows the protocol."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import numpy as np
import pytest
from wyoming.asr import Transcript, TranscriptChunk, TranscriptStart
from wyoming.audio import AudioChunk, AudioStart
from wyoming.client import AsyncTcpClient
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong

from hf_asr_endpoint.errors import EngineError
from hf_asr_endpoint.languages import LANGUAGE_NAMES
from hf_asr_endpoint.types import Health, ModelInfo
from tests.api.conftest import MODEL_NAMES
from tests.api.wyoming.conftest import begin, rest, samples, serving, speak, stop, text_of, until
from tests.fakes import FakeTranscriber

LOADED = ModelInfo(device="cpu", dtype="int8", is_multilingual=True)


async def described(transcriber: FakeTranscriber) -> Info:
    async with serving(transcriber) as port, port.connect() as client:
        await client.write_event(Describe().event())
        event = await client.read_event()
        assert event is not None
        return Info.from_event(event)


def test_an_utterance_comes_back_as_its_text(transcriber: FakeTranscriber) -> None:
    async def run() -> None:
        async with serving(transcriber) as port, port.connect() as client:
            await begin(client, language="de-DE")
            await speak(client, samples(4.0))
            await stop(client)
            started, *chunks, transcript, stopped = await rest(client)
        assert TranscriptStart.from_event(started).language == "de"
        text = "".join(TranscriptChunk.from_event(chunk).text for chunk in chunks)
        assert text == Transcript.from_event(transcript).text == "w0 w1 w2 w3 w4 w5 w6 w7"
        assert stopped.type == "transcript-stop"

    asyncio.run(run())


def test_words_come_before_the_audio_ends(transcriber: FakeTranscriber) -> None:
    async def run() -> None:
        async with serving(transcriber) as port, port.connect() as client:
            await begin(client)
            for _ in range(8):
                await speak(client, samples(0.5))
                await asyncio.sleep(0.05)
            started, chunk = await client.read_event(), await client.read_event()
            assert started is not None
            assert chunk is not None
            assert (started.type, chunk.type) == ("transcript-start", "transcript-chunk")
            await stop(client)
            assert await text_of(client) == "w0 w1 w2 w3 w4 w5 w6 w7"

    asyncio.run(run())


def test_what_is_wanted_reaches_the_session(transcriber: FakeTranscriber) -> None:
    async def run() -> None:
        async with serving(transcriber) as port, port.connect() as client:
            wanted = {"transcript_names": ["Küche"], "transcript_terms": ["Rollo", "Licht"]}
            await begin(client, name="whisper-base", language="German", context={"a": 1}, **wanted)
            await speak(client, samples(0.2))
            await stop(client)
            await text_of(client)

    asyncio.run(run())
    [options] = transcriber.live_options
    assert (options.model, options.language, options.turn_detection) == (None, "de", None)
    assert options.hotwords == "Küche, Rollo, Licht"


@pytest.mark.parametrize(
    ("rate", "width", "channels", "dtype"),
    [(8_000, 1, 1, "u1"), (44_100, 2, 2, "<i2"), (16_000, 4, 1, "<i4"), (48_000, 2, 1, "<i2")],
)
def test_any_rate_width_and_number_of_channels_is_read(
    transcriber: FakeTranscriber, rate: int, width: int, channels: int, dtype: str
) -> None:
    audio = pcm_of(2.0, rate=rate, channels=channels, dtype=dtype)

    async def run() -> str:
        async with serving(transcriber) as port, port.connect() as client:
            fields = {"rate": rate, "width": width, "channels": channels}
            await client.write_event(AudioStart(**fields).event())
            for first in range(0, len(audio), 9_999):  # Samples are cut in two.
                await client.write_event(AudioChunk(**fields, audio=audio[first : first + 9_999]).event())
            await stop(client)
            return await text_of(client)

    assert asyncio.run(run()) == "w0 w1 w2 w3"
    [options] = transcriber.live_options
    assert options.audio.bytes_per_s == rate * width * channels


def pcm_of(seconds: float, *, rate: int, channels: int, dtype: str) -> bytes:
    n = round(seconds * rate) * channels
    if dtype == "u1":
        return np.full(n, 192, dtype).tobytes()
    return np.full(n, 0.5 * np.iinfo(dtype).max).astype(dtype).tobytes()


def test_chunks_alone_begin_an_utterance_too(transcriber: FakeTranscriber) -> None:
    async def run() -> str:
        async with serving(transcriber) as port, port.connect() as client:
            await speak(client, samples(2.0), piece_bytes=1_000_000)
            await stop(client)
            return await text_of(client)

    assert asyncio.run(run()) == "w0 w1 w2 w3"


@pytest.mark.parametrize("seconds", [0.0, 0.05, 1.0])
def test_silence_has_an_empty_text(transcriber: FakeTranscriber, seconds: float) -> None:
    async def run() -> list[str]:
        async with serving(transcriber) as port, port.connect() as client:
            await begin(client)
            await speak(client, samples(seconds, level=0.001))
            await stop(client)
            return [event.type for event in await rest(client) if event.data.get("text", "") == ""]

    assert asyncio.run(run()) == ["transcript-start", "transcript", "transcript-stop"]


def test_the_models_and_their_languages_are_described(transcriber: FakeTranscriber) -> None:
    [program] = asyncio.run(described(transcriber)).asr
    [model] = program.models
    assert (program.name, program.supports_transcript_streaming) == ("hf-asr-endpoint", True)
    assert (model.name, model.installed, set(model.languages)) == (MODEL_NAMES[0], True, set(LANGUAGE_NAMES))


@pytest.mark.parametrize(
    ("health", "installed", "languages"),
    [
        (Health(state="ready", model=replace(LOADED, is_multilingual=False)), True, 1),
        (Health(state="loading"), True, len(LANGUAGE_NAMES)),
        (Health(state="failed", detail="no weights"), False, len(LANGUAGE_NAMES)),
    ],
)
def test_the_description_follows_the_models_state(health: Health, installed: bool, languages: int) -> None:
    [model] = asyncio.run(described(FakeTranscriber(health=health))).asr[0].models
    assert (model.installed, len(model.languages)) == (installed, languages)


def test_a_ping_is_answered_also_within_an_utterance(transcriber: FakeTranscriber) -> None:
    async def ping(client: AsyncTcpClient, text: str | None) -> None:
        await client.write_event(Ping(text=text).event())
        event = await client.read_event()
        assert event is not None
        assert Pong.from_event(event).text == text

    async def run() -> None:
        async with serving(transcriber) as port, port.connect() as client:
            await ping(client, "Grüße")
            await begin(client)
            await ping(client, None)

    asyncio.run(run())


def test_a_model_that_fails_is_an_error(transcriber: FakeTranscriber) -> None:
    transcriber.live_decoder.failure = EngineError("the model failed")

    async def run() -> None:
        async with serving(transcriber) as port, port.connect() as client:
            await begin(client)
            await speak(client, samples(1.0))
            await stop(client)
            assert [(event.type, event.data) for event in await rest(client)] == [
                ("error", {"text": "the model failed", "code": "EngineError"})
            ]

    asyncio.run(run())


def test_each_utterance_is_counted_and_logged(
    transcriber: FakeTranscriber, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def run() -> str:
        async with serving(transcriber) as port:
            async with port.connect() as client:
                await client.write_event(Describe().event())
                await client.read_event()
            async with port.connect() as client:
                await begin(client)
                await speak(client, samples(2.0))
                await stop(client)
                await rest(client)
            async with port.connect() as client:
                await begin(client, name="other")
                await rest(client)
            await until(lambda: len(caplog.messages) == 2)
            return bytes(port.metrics.render(None, accept="").body).decode()

    metrics = asyncio.run(run())
    for status in ("200", "404"):
        assert f'hf_asr_requests_total{{api="Wyoming",status="{status}"}}' in metrics
    assert 'hf_asr_request_audio_seconds_sum{api="Wyoming"} 2.0' in metrics
    answered, refused = caplog.messages
    assert answered.startswith("WYOMING transcribe status=200 id=")
    assert " audio_s=2.0 " in answered
    assert refused.startswith("WYOMING transcribe status=404 ")
