"""A recording on its way to an engine whose blocks get lost: without Ray's processes, and with them."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import numpy as np
import pytest
import soundfile

from hf_asr_endpoint.audio.blocks import BLOCK_BYTES, ReceivedAudio
from hf_asr_endpoint.audio.source import EncodedAudio, ReadingOrder, SampledAudio
from hf_asr_endpoint.cancellation import CancellationToken
from hf_asr_endpoint.errors import EngineLost
from hf_asr_endpoint.transcription.orders import whole
from hf_asr_endpoint.transcription.stream import Event, TranscriptionStream
from hf_asr_endpoint.types import Transcription
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.conftest import needs_ray
from tests.ray_serve.asking import wait_until

pytest.importorskip("ray", reason="Ray is not installed; `make test-ray` has it")

import ray
from ray.exceptions import ObjectStoreFullError, RayError

from hf_asr_endpoint.ray_serve.audio import SentAudio, receive_audio, send_audio

LOST = "the audio was lost on its way to the engine"


def of_several_blocks(format_: str) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 40 * SAMPLE_RATE).astype(np.float32)
    soundfile.write(file, noise, SAMPLE_RATE, format=format_)
    assert len(file.getvalue()) > BLOCK_BYTES
    return file.getvalue()


def sent(audio: bytes) -> SentAudio:
    order = ReadingOrder(source=EncodedAudio(file=io.BytesIO(audio)), max_audio_s=60.0, audio_track=None)
    return send_audio(order)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
    """Blocks by their references. Whoever removes one loses it."""
    blocks: dict[int, Any] = {}

    def put(block: Any) -> int:
        blocks[len(blocks)] = block
        return len(blocks) - 1

    def get(reference: int) -> Any:
        if reference not in blocks:
            raise RayError("its owner has died")
        return blocks[reference]

    monkeypatch.setattr(ray, "put", put)
    monkeypatch.setattr(ray, "get", get)
    return blocks


def transcribe(received: SentAudio) -> list[Event]:
    """Read all of the audio, as an engine does, and return the events that come of it."""

    async def begin(audio: ReceivedAudio) -> TranscriptionStream:
        stream = TranscriptionStream(CancellationToken())

        def read() -> None:
            try:
                n_samples = sum(len(block) for block in audio.reader)
                duration_s = n_samples / SAMPLE_RATE
                stream.put(Transcription(task="transcribe", language="en", duration_s=duration_s, segments=()))
                stream.finish()
            except Exception as exc:  # As in the engine: whoever reads the stream gets it.
                stream.finish(exc)

        await asyncio.to_thread(read)
        return stream

    async def work() -> list[Event]:
        audio = receive_audio(received)
        return [event async for event in whole(audio, begin(audio))]

    return asyncio.run(work())


@pytest.mark.parametrize("format_", ["WAV", "FLAC"])
def test_audio_that_lost_a_block_has_no_transcription(store: dict[int, Any], format_: str) -> None:
    audio = sent(of_several_blocks(format_))
    (transcription,) = transcribe(audio)
    assert isinstance(transcription, Transcription)
    assert transcription.duration_s == pytest.approx(40.0, abs=0.1)
    del store[1]
    with pytest.raises(EngineLost, match=LOST):
        transcribe(audio)


def test_lost_audio_is_not_the_clients_mistake(store: dict[int, Any]) -> None:
    audio = sent(of_several_blocks("WAV"))
    store.clear()
    with pytest.raises(EngineLost, match=LOST):
        transcribe(audio)


def test_lost_samples_are_told(store: dict[int, Any]) -> None:
    source = SampledAudio(samples=np.zeros(SAMPLE_RATE, np.float32), sample_rate=SAMPLE_RATE)
    audio = send_audio(ReadingOrder(source=source, max_audio_s=60.0, audio_track=None))
    store.clear()
    with pytest.raises(EngineLost, match=LOST):
        transcribe(audio)


def test_a_full_store_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def put(block: Any) -> None:
        raise ObjectStoreFullError("it is full")

    monkeypatch.setattr(ray, "put", put)
    with pytest.raises(EngineLost, match="the audio cannot be sent to an engine"):
        sent(of_several_blocks("WAV"))


@needs_ray
def test_blocks_are_lost_with_the_process_that_sent_them() -> None:
    class Sender:
        def send(self, audio: bytes) -> SentAudio:
            source = EncodedAudio(file=io.BytesIO(audio))
            return send_audio(ReadingOrder(source=source, max_audio_s=60.0, audio_track=None))

    def is_lost(block: Any) -> bool:
        try:
            ray.get(block)
        except RayError:
            return True
        return False

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        sender = ray.remote(Sender).remote()
        audio = ray.get(sender.send.remote(of_several_blocks("WAV")))
        (transcription,) = transcribe(audio)
        assert isinstance(transcription, Transcription)
        ray.kill(sender)
        wait_until(lambda: is_lost(audio.blocks[1]), "Ray keeps the blocks")
        with pytest.raises(EngineLost, match=LOST):
            transcribe(audio)
    finally:
        ray.shutdown()
