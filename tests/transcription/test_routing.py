from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from hf_asr_endpoint.transcription.routing import RoutingTranscriber, beyond_engine
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import DecodingOptions, Health, TranscriptionOptions
from tests.fakes import FakeTranscriber

WAVEFORM = [np.zeros(800, np.float32)]
PLAIN = TranscriptionOptions()
BEAMS = TranscriptionOptions(decoding=DecodingOptions(num_beams=2))


class Reference:
    """Loads a fake, and counts how often."""

    def __init__(self) -> None:
        self.transcriber = FakeTranscriber()
        self.threads: list[threading.Thread] = []

    def load(self) -> Transcriber:
        self.threads.append(threading.current_thread())
        return self.transcriber


@pytest.fixture
def engine() -> FakeTranscriber:
    return FakeTranscriber()


@pytest.fixture
def reference() -> Reference:
    return Reference()


@pytest.fixture
def routing(engine: FakeTranscriber, reference: Reference) -> RoutingTranscriber:
    return RoutingTranscriber(engine, load_reference=reference.load)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(DecodingOptions(), True, id="defaults"),
        pytest.param(DecodingOptions(temperatures=(0.7,)), True, id="sampling"),
        pytest.param(DecodingOptions(max_new_tokens=3, min_length=2, logprob_threshold=None), True, id="limits"),
        pytest.param(DecodingOptions(num_beams=2), False, id="num_beams"),
        pytest.param(DecodingOptions(use_cache=False), False, id="use_cache"),
        pytest.param(DecodingOptions(top_k=5), False, id="top_k"),
        pytest.param(DecodingOptions(top_p=0.5), False, id="top_p"),
        pytest.param(DecodingOptions(typical_p=0.5), False, id="typical_p"),
        pytest.param(DecodingOptions(epsilon_cutoff=0.1), False, id="epsilon_cutoff"),
        pytest.param(DecodingOptions(eta_cutoff=0.1), False, id="eta_cutoff"),
    ],
)
def test_what_the_engine_can(options: DecodingOptions, expected: bool) -> None:
    assert (beyond_engine(options) is None) is expected


def test_the_engine_serves_and_the_reference_is_never_loaded(
    routing: RoutingTranscriber, engine: FakeTranscriber, reference: Reference
) -> None:
    assert asyncio.run(routing.transcribe(WAVEFORM, PLAIN)).text == "800 samples"
    assert engine.options == [PLAIN]
    assert reference.threads == []


def test_the_reference_is_loaded_once_and_not_in_the_event_loop(
    routing: RoutingTranscriber, engine: FakeTranscriber, reference: Reference
) -> None:
    async def scenario() -> None:
        await asyncio.gather(*(routing.transcribe(WAVEFORM, BEAMS) for _ in range(3)))

    asyncio.run(scenario())
    assert reference.transcriber.options == [BEAMS] * 3
    assert len(reference.threads) == 1
    assert reference.threads[0] is not threading.current_thread()
    assert engine.options == []


def test_a_reference_that_cannot_be_loaded_fails_its_request_and_is_tried_again(engine: FakeTranscriber) -> None:
    errors = [MemoryError("no room"), None]
    reference = Reference()

    def load() -> Transcriber:
        if error := errors.pop(0):
            raise error
        return reference.load()

    routing = RoutingTranscriber(engine, load_reference=load)
    with pytest.raises(MemoryError):
        asyncio.run(routing.transcribe(WAVEFORM, BEAMS))
    assert asyncio.run(routing.transcribe(WAVEFORM, PLAIN)).text == "800 samples"
    assert asyncio.run(routing.transcribe(WAVEFORM, BEAMS)).text == "800 samples"


def test_health_is_the_engines(reference: Reference) -> None:
    failed = Health(state="failed", detail="it broke")
    routing = RoutingTranscriber(FakeTranscriber(health=failed), load_reference=reference.load)
    assert routing.health() is failed


@pytest.mark.parametrize("options", [PLAIN, BEAMS], ids=["engine only", "both"])
def test_closing_closes_what_is_there(
    routing: RoutingTranscriber, engine: FakeTranscriber, reference: Reference, options: TranscriptionOptions
) -> None:
    asyncio.run(routing.transcribe(WAVEFORM, options))
    routing.close()
    assert engine.is_closed
    assert reference.transcriber.is_closed is (options is BEAMS)
