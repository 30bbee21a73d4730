"""Real processes prepare recordings as threads do, and end with what they prepare for."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
import torch

from hf_asr_endpoint.audio.headerless import PcmFormat
from hf_asr_endpoint.audio.source import AudioSource, EncodedAudio, SampledAudio
from hf_asr_endpoint.cancellation import CANCELLED, SHUTTING_DOWN
from hf_asr_endpoint.errors import (
    AudioTooLong,
    EngineLost,
    EngineUnavailable,
    InvalidAudio,
    InvalidParameter,
    Overloaded,
    UnsupportedAudio,
)
from hf_asr_endpoint.preparation_processes.preparations import PreparationProcesses
from hf_asr_endpoint.transcription.preparation import PreparedChunk
from hf_asr_endpoint.transcription.preparation_workers import PreparationWorkers
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.engine_processes.conftest import children_of, needs_proc, wait_for, wav
from tests.preparation_processes.conftest import MAKER, Consumer, comparable

N_TIMES = 6
MODULE = b"hf_asr_endpoint.preparation_processes.child"


@pytest.fixture(scope="module")
def processes() -> Iterator[PreparationProcesses]:
    with closing(PreparationProcesses(2)) as processes:
        yield processes.begin(MAKER, is_engine_busy=None)


@pytest.fixture(scope="module")
def threads() -> Iterator[PreparationWorkers]:
    with closing(PreparationWorkers(MAKER, is_engine_busy=None)) as workers:
        yield workers


@pytest.fixture(scope="module")
def a_minute(speech: Waveform) -> bytes:
    """More than a minute of speech, in three blocks: chunks of 10 s and shorter."""
    return wav(np.tile(speech, N_TIMES))


def own_children() -> set[int]:
    """Return the processes of this test that prepare audio."""
    found = set()
    for pid in children_of(os.getpid()):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if MODULE in file.read():
                found.add(pid)
    return found


def shown(chunk: PreparedChunk) -> tuple[float, float, object]:
    return chunk.offset_s, chunk.duration_s, chunk.speech


def window(chunk: PreparedChunk) -> torch.Tensor:
    window = chunk.spectrogram.window(0.0, is_whole=False)
    assert isinstance(window, torch.Tensor)
    return window


def recording(kind: str, jfk: bytes, speech: Waveform, a_minute: bytes) -> bytes | AudioSource:
    match kind:
        case "wav":
            return a_minute
        case "mp3":
            return jfk
        case "raw":
            pcm = io.BytesIO((speech * 32767).astype("<i2").tobytes())
            return EncodedAudio(file=pcm, pcm=PcmFormat(sample_rate=SAMPLE_RATE))
        case "samples of two channels":
            return SampledAudio(samples=np.stack([speech, speech / 2]), sample_rate=22_050)
        case "cut off":
            return jfk[: len(jfk) // 2]
        case "not audio":
            return b"this is not audio" * 100
        case "no samples":
            return wav(np.zeros(0, np.float32))
        case _:
            return b""


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("wav", None),
        ("mp3", None),
        ("raw", None),
        ("samples of two channels", None),
        ("cut off", None),
        ("not audio", UnsupportedAudio),
        ("no samples", InvalidAudio),
        ("empty", InvalidAudio),
    ],
)
def test_chunks_and_errors_equal_those_of_threads(
    processes: PreparationProcesses,
    threads: PreparationWorkers,
    jfk: bytes,
    speech: Waveform,
    a_minute: bytes,
    kind: str,
    error: type[Exception] | None,
) -> None:
    consumers = [Consumer(recording(kind, jfk, speech, a_minute)) for _ in range(2)]
    for consumer, preparations in zip(consumers, (processes, threads), strict=True):
        preparations.submit(consumer.order)
    (chunks, end), (expected, expected_end) = (consumer.rest() for consumer in consumers)
    assert end.duration_s == expected_end.duration_s
    assert comparable(end.error) == comparable(expected_end.error)
    assert isinstance(end.error, error or type(None))
    assert list(map(shown, chunks)) == list(map(shown, expected))
    assert all(torch.equal(window(one), window(other)) for one, other in zip(chunks, expected, strict=True))
    assert bool(chunks) == (error is None)


def test_limits_are_told_as_by_threads(processes: PreparationProcesses, jfk: bytes, a_minute: bytes) -> None:
    long, track = Consumer(a_minute, max_audio_s=20.0), Consumer(jfk, audio_track=3)
    processes.submit(long.order)
    processes.submit(track.order)
    assert comparable(long.error)[:2] == (
        AudioTooLong,
        "the audio is longer than 20 s; allowed: at most 20 s",
    )
    error = track.error
    assert isinstance(error, InvalidParameter)
    assert error.parameter == "audio_track"
    assert long.has_closed


def test_no_more_chunks_are_ahead_than_allowed(
    processes: PreparationProcesses, a_minute: bytes, jfk: bytes
) -> None:
    consumer = Consumer(a_minute, max_ahead=2, chunk_length_s=5.0)
    source = processes.submit(consumer.order)
    growing = Consumer(a_minute, max_ahead=3, chunk_length_s=5.0, ramps_up=True)
    growing_source = processes.submit(growing.order)

    def pass_time() -> None:
        others = [Consumer(jfk) for _ in range(4)]
        for other in others:
            processes.submit(other.order)
        assert [other.error for other in others] == [None] * 4

    consumer.chunk()
    consumer.chunk()
    growing.chunk()
    pass_time()
    assert consumer.events.empty()
    assert growing.events.empty()
    source.release()
    consumer.chunk()
    growing_source.release()  # in its place, and one more
    growing.chunk()
    growing.chunk()
    growing_source.allow_another()
    growing.chunk()
    pass_time()
    assert consumer.events.empty()
    assert growing.events.empty()
    consumer.token.cancel()
    growing.token.cancel()
    assert comparable(consumer.error)[:2] == (EngineUnavailable, CANCELLED)
    growing.rest()
    assert consumer.has_closed


def test_the_length_is_told_and_may_end_the_request(
    processes: PreparationProcesses, a_minute: bytes, jfk: bytes
) -> None:
    told: list[float] = []
    consumer = Consumer(a_minute, on_length=told.append)
    processes.submit(consumer.order)
    _, end = consumer.rest()
    assert told == [end.duration_s]

    def refuse(seconds: float) -> None:
        raise Overloaded("too much waits", retry_after_s=7)

    refused = Consumer(a_minute, on_length=refuse)
    processes.submit(refused.order)
    assert comparable(refused.error) == (Overloaded, "too much waits", {"retry_after_s": 7})
    assert refused.has_closed


def test_a_file_that_is_closed_ends_its_request(processes: PreparationProcesses, a_minute: bytes) -> None:
    before, between = Consumer(a_minute), Consumer(a_minute, max_ahead=1, chunk_length_s=5.0)
    before.reader.close()
    processes.submit(before.order)
    assert isinstance(before.error, ValueError)
    source = processes.submit(between.order)
    between.chunk()
    between.reader.close()
    for _ in range(100):
        source.release()
    assert comparable(between.error)[1].startswith(
        "the audio was lost on its way to the engine: it cannot be read"
    )


def test_what_was_worked_is_told(processes: PreparationProcesses, a_minute: bytes) -> None:
    before_s, before_audio_s = processes.worked_s, processes.prepared_audio_s
    consumer = Consumer(a_minute)
    processes.submit(consumer.order)
    _, end = consumer.rest()
    wait_for(lambda: processes.prepared_audio_s - before_audio_s >= end.duration_s)
    assert processes.worked_s > before_s


@needs_proc
def test_a_killed_process_fails_what_it_had_and_comes_back(
    processes: PreparationProcesses, a_minute: bytes, jfk: bytes
) -> None:
    """The other one goes on, and takes what comes meanwhile."""
    audio_s = processes.prepared_audio_s
    consumers = [Consumer(a_minute, max_ahead=1, chunk_length_s=5.0) for _ in range(2)]
    sources = [processes.submit(consumer.order) for consumer in consumers]
    for consumer in consumers:
        consumer.chunk()
    children = own_children()
    killed = min(children)
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: any(not consumer.events.empty() for consumer in consumers))
    lost = next(index for index, consumer in enumerate(consumers) if not consumer.events.empty())
    assert comparable(consumers[lost].error)[:2] == (
        EngineLost,
        "the process that prepared this request's audio has ended; send the request again",
    )
    assert consumers[lost].has_closed
    later = Consumer(jfk)
    processes.submit(later.order)
    assert later.error is None
    for _ in range(100):
        sources[1 - lost].release()
    assert consumers[1 - lost].error is None
    wait_for(lambda: len(own_children() - {killed}) == 2)
    assert processes.failure == ""
    assert processes.prepared_audio_s >= audio_s, "counters never go back"


@needs_proc
def test_closing_ends_all_that_is_prepared(a_minute: bytes) -> None:
    before = own_children()
    processes = PreparationProcesses(1)
    processes.begin(MAKER, is_engine_busy=None)
    consumer = Consumer(a_minute, max_ahead=1, chunk_length_s=5.0)
    processes.submit(consumer.order)
    consumer.chunk()
    processes.close()
    assert comparable(consumer.error)[:2] == (EngineUnavailable, SHUTTING_DOWN)
    assert own_children() == before
    late = Consumer(a_minute)
    processes.submit(late.order)
    assert comparable(late.error)[:2] == (EngineUnavailable, SHUTTING_DOWN)
    assert late.has_closed
