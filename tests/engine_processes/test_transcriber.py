"""Requests and sessions that two engines in processes of their own work on."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from hf_asr_endpoint.audio.headerless import PcmFormat
from hf_asr_endpoint.audio.source import SampledAudio
from hf_asr_endpoint.engine_processes.transcriber import EngineProcesses
from hf_asr_endpoint.errors import EngineLost, ModelUnavailable, UnsupportedAudio, UnsupportedValue
from hf_asr_endpoint.transcription.live.events import Committed, Completed, Configured
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.stream import last_of
from hf_asr_endpoint.types import Caller, Progress, Segment, Transcription, TranscriptionOptions, Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.engine_processes.conftest import DEADLINE_S, N_TIMES, kill_engine, read, two_engines, wait_for

N_WINDOWS = 30  # in `minutes`, at least
SPOKEN = "ask what you can do for your country"
LIVE = LiveOptions(audio=PcmFormat(sample_rate=SAMPLE_RATE), turn_detection=None)

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, DEADLINE_S))


def in_flight(transcriber: EngineProcesses) -> list[int]:
    return [engine.load.n_requests for engine in transcriber._engines]


def are_idle(transcriber: EngineProcesses) -> bool:
    """Whether the engines have told that they have nothing to do: a new request goes by what they told last."""
    return all(engine.load.of_slots == 0 for engine in transcriber._engines)


def restarts(transcriber: EngineProcesses) -> list[int]:
    return [engine.n_restarts for engine in transcriber.health().engines]


def test_requests_go_to_both_engines_and_have_the_same_text(transcriber: EngineProcesses, jfk: bytes) -> None:
    async def ask() -> tuple[list[int], list[Transcription]]:
        streams = [await transcriber.stream(read(jfk), TranscriptionOptions()) for _ in range(4)]
        shares = in_flight(transcriber)
        return shares, [await last_of(stream) for stream in streams]

    shares, transcriptions = run(ask())
    assert shares == [2, 2]
    assert SPOKEN in transcriptions[0].text
    assert len({one.text for one in transcriptions}) == 1
    assert transcriber.activity().slots == 2 * 4


def test_audio_of_several_blocks_comes_as_segments_with_progress(
    transcriber: EngineProcesses, a_minute: bytes
) -> None:
    told: list[Progress] = []

    async def ask() -> list[Any]:
        caller = Caller(on_progress=told.append)
        return [event async for event in await transcriber.stream(read(a_minute), TranscriptionOptions(), caller)]

    events = run(ask())
    segments = tuple(event for event in events if isinstance(event, Segment))
    assert isinstance(events[-1], Transcription)
    assert events[-1].segments == segments
    assert events[-1].duration_s == pytest.approx(11 * N_TIMES, abs=1)
    assert events[-1].text.count("your country") >= N_TIMES
    assert told == [event for event in events if isinstance(event, Progress)]
    assert len(told) >= 2


def test_whoever_wants_no_segments_is_told_progress_too(transcriber: EngineProcesses, jfk: bytes) -> None:
    told: list[Progress] = []
    run(transcriber.transcribe(read(jfk), TranscriptionOptions(), Caller(on_progress=told.append)))
    assert told[-1].done_s == pytest.approx(11, abs=0.1)


def test_samples_are_transcribed_as_files_are(transcriber: EngineProcesses, speech: Waveform) -> None:
    audio = SampledAudio(samples=np.stack([speech, speech]), sample_rate=SAMPLE_RATE)
    assert SPOKEN in run(transcriber.transcribe(read(audio), TranscriptionOptions())).text


@pytest.mark.parametrize(
    ("audio", "options", "error"),
    [
        (b"no audio", TranscriptionOptions(), UnsupportedAudio),
        (None, TranscriptionOptions(language="de"), UnsupportedValue),
    ],
)
def test_what_an_engine_refuses_is_refused_here(
    transcriber: EngineProcesses,
    jfk: bytes,
    audio: bytes | None,
    options: TranscriptionOptions,
    error: type[Exception],
) -> None:
    with pytest.raises(error):
        run(transcriber.transcribe(read(audio or jfk), options))
    assert in_flight(transcriber) == [0, 0]


def test_audio_that_its_owner_loses_has_no_transcription(transcriber: EngineProcesses, minutes: bytes) -> None:
    async def ask() -> Transcription:
        reader = read(minutes)
        stream = await transcriber.stream(reader, TranscriptionOptions())
        reader.close()
        return await last_of(stream)

    with pytest.raises(EngineLost, match="the audio was lost on its way to the engine"):
        run(ask())


def test_work_that_nobody_waits_for_ends(transcriber: EngineProcesses, minutes: bytes) -> None:
    def n_finished() -> int:
        return transcriber.activity().windows.get("finished", 0)

    before = n_finished()

    async def leave() -> None:
        asking = asyncio.create_task(transcriber.transcribe(read(minutes), TranscriptionOptions()))
        while not transcriber.activity().slots_in_use:
            await asyncio.sleep(0.05)
        asking.cancel()
        await asyncio.wait({asking})
        stream = await transcriber.stream(read(minutes), TranscriptionOptions())
        stream.close()

    run(leave())
    wait_for(lambda: in_flight(transcriber) == [0, 0])
    wait_for(lambda: are_idle(transcriber))
    assert n_finished() - before < N_WINDOWS


def test_a_live_session(transcriber: EngineProcesses, speech: Waveform) -> None:
    async def talk() -> list[Any]:
        stream = await transcriber.live(LIVE)
        pcm = (speech * 32767).astype("<i2").tobytes()
        for begin in range(0, len(pcm), 32_000):
            stream.push(pcm[begin : begin + 32_000])
            await stream.wait_for_room(2.0)
        stream.configure(LIVE, "second")
        stream.commit()
        stream.finish()
        return [event async for event in stream]

    events = run(talk())
    assert Configured(tag="second") in events
    assert [type(event) for event in events if isinstance(event, Committed | Completed)] == [Committed, Completed]
    (completed,) = (event for event in events if isinstance(event, Completed))
    assert SPOKEN in completed.text


def test_a_session_in_a_language_that_the_model_lacks_is_refused(transcriber: EngineProcesses) -> None:
    german = LiveOptions(language="de")

    async def talk() -> None:
        stream = await transcriber.live(LIVE)
        with pytest.raises(UnsupportedValue):
            stream.configure(german)
        stream.close()
        with pytest.raises(UnsupportedValue):
            await transcriber.live(german)

    run(talk())
    wait_for(lambda: in_flight(transcriber) == [0, 0])


def test_a_killed_engine_fails_what_it_had_and_comes_back(transcriber: EngineProcesses, minutes: bytes) -> None:
    """The other one goes on, and takes what comes meanwhile."""
    wait_for(lambda: are_idle(transcriber))
    before, n_tokens = restarts(transcriber), transcriber.activity().tokens

    async def ask() -> int:
        streams = [await transcriber.stream(read(minutes), TranscriptionOptions()) for _ in range(2)]
        assert in_flight(transcriber) == [1, 1]
        session = await transcriber.live(LIVE)
        killed = in_flight(transcriber).index(2)
        other = 1 - killed
        kill_engine(f"cpu-{killed}")
        for work in (last_of(streams[killed]), anext(session)):
            with pytest.raises(
                EngineLost, match=f"the engine on cpu-{killed} .* has ended; send the request again"
            ):
                await work
        health = transcriber.health()
        assert health.state == "ready"
        assert f"1 of 2 engines are ready; cpu-{killed}: " in health.detail
        assert health.model is not None
        later = await transcriber.stream(read(minutes), TranscriptionOptions())
        assert in_flight(transcriber)[other] == 2
        later.close()
        text = ""
        while text.count("your country") < N_TIMES:
            event = await anext(streams[other])
            text += event.text if isinstance(event, Segment) else ""
        streams[other].close()
        return killed

    killed = run(ask())
    wait_for(lambda: transcriber.health().detail == "")
    assert restarts(transcriber)[killed] == before[killed] + 1
    assert transcriber.activity().tokens >= n_tokens, "counters never go back"


def test_requests_wait_for_an_engine_when_all_have_ended(transcriber: EngineProcesses, jfk: bytes) -> None:
    async def ask() -> str:
        for engine in ("cpu-0", "cpu-1"):
            kill_engine(engine)
        while transcriber.health().state == "ready":
            await asyncio.sleep(0.01)
        assert transcriber.health().state == "loading"
        return (await transcriber.transcribe(read(jfk), TranscriptionOptions())).text

    assert SPOKEN in run(ask())
    wait_for(lambda: transcriber.health().detail == "")


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        ("cuda:9", "device 'cuda:9' is not available; allowed here: auto"),
        ("MIG-0000", "the engine on MIG-0000 cannot be loaded: device 'cuda' is not available"),
    ],
)
def test_devices_that_are_not_there_are_refused(cache_dir: Path, devices: str, message: str) -> None:
    with pytest.raises(ModelUnavailable, match=message), two_engines(cache_dir, devices=devices):
        pass
