"""Turns of audio preparation: bounded, fair by time, and left at once when a request is cancelled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from queue import Queue

import numpy as np
import pytest

from hf_asr_endpoint.audio.chunking import ChunkingOptions
from hf_asr_endpoint.audio.speech_spans import N_STEP_SAMPLES, Probabilities
from hf_asr_endpoint.cancellation import SHUTTING_DOWN, CancellationToken
from hf_asr_endpoint.errors import EngineUnavailable, InvalidAudio
from hf_asr_endpoint.transcription.preparation import (
    FRUITLESS_S,
    TURN_S,
    PreparationEnd,
    PreparationOrder,
    PreparedChunk,
)
from hf_asr_endpoint.transcription.preparation_workers import (
    HEAD_START_S,
    REST,
    PreparationWorkers,
    choose_n_workers,
)
from hf_asr_endpoint.transcription.spectrogram import SpectrogramMaker
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.fakes import DEADLINE_S
from tests.transcription.transcribing import Blocks

SECOND = np.full(SAMPLE_RATE, 0.1, np.float32)
SILENCE = np.zeros(SAMPLE_RATE, np.float32)


class Loud:
    """A SpeechDetector and its stream: speech is what is not silent, but for the last third of each 10 s."""

    def __init__(self) -> None:
        self._n_samples = 0

    def stream(self) -> Loud:
        return Loud()

    def push(self, block: Waveform) -> Probabilities:
        begin, end = self._n_samples // N_STEP_SAMPLES, (self._n_samples + len(block)) // N_STEP_SAMPLES
        self._n_samples += len(block)
        times_s = np.arange(begin, end) * N_STEP_SAMPLES / SAMPLE_RATE
        return np.where((times_s % 10 < 6.5) & block.any(), 0.9, 0.0).astype(np.float32)

    def finish(self) -> Probabilities:
        return np.zeros(0, np.float32)


class Consumer:
    """Takes what a preparation delivers."""

    def __init__(self, blocks: Iterable[Waveform], *, max_ahead: int = 100, ramps_up: bool = False) -> None:
        self.reader = Blocks(blocks)
        self.token = CancellationToken()
        self.events: Queue[PreparedChunk | PreparationEnd] = Queue()
        self.order = PreparationOrder(
            reader=self.reader,
            chunking=ChunkingOptions(),
            max_ahead=max_ahead,
            token=self.token,
            deliver=self.events.put,
            ramps_up=ramps_up,
        )

    def next(self) -> PreparedChunk | PreparationEnd:
        return self.events.get(timeout=DEADLINE_S)

    def end(self) -> PreparationEnd:
        while not isinstance(event := self.next(), PreparationEnd):
            pass
        return event


def one_worker(*, is_engine_busy: bool = False) -> PreparationWorkers:
    return PreparationWorkers(
        SpectrogramMaker(n_mels=80, encoder_padding_s=1.0),
        is_engine_busy=lambda: is_engine_busy,
        n_workers=1,
        detector=Loud(),
    )


@pytest.fixture
def workers() -> Iterator[PreparationWorkers]:
    workers = one_worker()
    yield workers
    workers.close()


def endless(second: Waveform = SECOND, pause: Callable[[], object] = lambda: None) -> Iterator[Waveform]:
    while True:
        pause()
        yield second


def test_chunks_come_in_order_and_then_the_end(workers: PreparationWorkers) -> None:
    consumer = Consumer([SECOND] * 65)
    workers.submit(consumer.order)
    chunks = []
    while isinstance(event := consumer.next(), PreparedChunk):
        chunks.append(event)
    assert [chunk.offset_s for chunk in chunks] == sorted({chunk.offset_s for chunk in chunks})
    assert len(chunks) >= 3
    assert (event.error, event.duration_s) == (None, 65.0)
    assert consumer.reader.is_closed.is_set()


def test_no_more_chunks_are_ahead_than_allowed(workers: PreparationWorkers) -> None:
    n_read = 0

    def counted() -> Iterator[Waveform]:
        nonlocal n_read
        for _ in range(600):
            n_read += 1
            yield SECOND

    consumer = Consumer(counted(), max_ahead=2)
    source = workers.submit(consumer.order)
    consumer.next()
    consumer.next()
    other = Consumer([SECOND])
    workers.submit(other.order)
    other.end()  # One worker: the first request has left it.
    assert n_read < 150
    assert consumer.events.empty()
    source.release()
    assert isinstance(consumer.next(), PreparedChunk)


def test_chunks_ahead_can_grow_from_one(workers: PreparationWorkers) -> None:
    consumer = Consumer([SECOND] * 200, max_ahead=3, ramps_up=True)
    source = workers.submit(consumer.order)

    def expect(n_chunks: int) -> None:
        for _ in range(n_chunks):
            assert isinstance(consumer.next(), PreparedChunk)
        other = Consumer([SECOND])
        workers.submit(other.order)
        other.end()  # One worker: the first request has left it.
        assert consumer.events.empty()

    expect(1)
    source.allow_another()
    expect(1)
    source.release()
    expect(2)  # in the released place, and one more: three are ahead
    source.release()
    source.allow_another()
    expect(1)  # no more than max_ahead


def test_a_clip_does_not_wait_for_hours_of_silence(workers: PreparationWorkers) -> None:
    """Six hours of silent FLAC held the only worker, because no chunk came: others waited for 27 s."""
    silence = Consumer(endless(SILENCE, lambda: time.sleep(TURN_S / 4)))
    workers.submit(silence.order)
    clip = Consumer([SECOND] * 5)
    began = time.monotonic()
    workers.submit(clip.order)
    assert clip.end().error is None
    assert time.monotonic() - began < 100 * TURN_S, "a few turns, on a machine that others use too"


def test_hours_of_silence_leave_most_of_the_time_to_a_busy_engine() -> None:
    """A clip beside six hours of silence took 2.8 times as long as alone: both worked on the same cores."""
    worked_s = 0.0

    def work() -> None:
        nonlocal worked_s
        time.sleep(TURN_S / 4)
        worked_s += TURN_S / 4

    workers = one_worker(is_engine_busy=True)
    silence = Consumer(endless(SILENCE, work))
    workers.submit(silence.order)
    while worked_s < 2 * FRUITLESS_S:
        time.sleep(TURN_S)
    began, worked_before_s = time.monotonic(), worked_s
    time.sleep(1)
    assert 0 < worked_s - worked_before_s < 0.5 * (time.monotonic() - began)
    workers.close()


def test_a_new_request_ends_the_rest_of_a_worker() -> None:
    workers = one_worker(is_engine_busy=True)
    worked_s = 2 * HEAD_START_S
    has_worked = threading.Event()

    def work() -> None:
        time.sleep(worked_s)  # The turn is that long; the rest after it is REST times as long.
        has_worked.set()

    slow = Consumer(endless(SILENCE, work))
    workers.submit(slow.order)
    assert has_worked.wait(DEADLINE_S)
    began = time.monotonic()
    time.sleep(HEAD_START_S / 2)  # The worker begins its rest.
    clip = Consumer([SECOND] * 5)
    workers.submit(clip.order)
    assert clip.end().error is None
    assert time.monotonic() - began < REST * worked_s, "the rest has not passed yet"
    workers.close()


def test_cancelling_closes_the_reader_before_any_chunk(workers: PreparationWorkers) -> None:
    consumer = Consumer(endless())
    workers.submit(consumer.order)
    consumer.token.cancel()
    assert isinstance(consumer.end().error, EngineUnavailable)
    assert consumer.reader.is_closed.is_set()


def test_cancelling_closes_the_reader_of_a_request_that_is_full(workers: PreparationWorkers) -> None:
    consumer = Consumer(endless(), max_ahead=1)
    workers.submit(consumer.order)
    consumer.next()
    consumer.token.cancel()
    assert isinstance(consumer.end().error, EngineUnavailable)
    assert consumer.reader.is_closed.is_set()


def test_an_error_of_the_audio_is_delivered_as_the_end(workers: PreparationWorkers) -> None:
    def broken() -> Iterator[Waveform]:
        yield SECOND
        raise InvalidAudio("cut off")

    consumer = Consumer(broken())
    workers.submit(consumer.order)
    assert str(consumer.end().error) == "cut off"
    assert consumer.reader.is_closed.is_set()


def test_what_would_end_a_worker_ends_only_the_request(workers: PreparationWorkers) -> None:
    def broken() -> Iterator[Waveform]:
        yield SECOND
        raise SystemExit("gone")

    consumer, next_one = Consumer(broken()), Consumer([SECOND])
    workers.submit(consumer.order)
    assert str(consumer.end().error) == "the audio could not be prepared: SystemExit: gone"
    assert consumer.reader.is_closed.is_set()
    workers.submit(next_one.order)
    assert next_one.end().error is None


def test_closing_ends_every_preparation() -> None:
    workers = one_worker()
    consumers = [Consumer(endless()) for _ in range(3)]
    for consumer in consumers:
        workers.submit(consumer.order)
    closing = threading.Thread(target=workers.close)
    closing.start()
    for consumer in consumers:
        assert str(consumer.end().error) == SHUTTING_DOWN
        assert consumer.reader.is_closed.is_set()
    closing.join(DEADLINE_S)
    late = Consumer([SECOND])
    workers.submit(late.order)
    assert str(late.end().error) == SHUTTING_DOWN


@pytest.mark.parametrize(
    ("engine_has_cores", "n_cores", "n_workers"),
    [(True, 1, 1), (True, 16, 4), (False, 1, 1), (False, 2, 1), (False, 4, 3), (False, 64, 4)],
)
def test_a_gpu_leaves_more_cores_to_workers(engine_has_cores: bool, n_cores: int, n_workers: int) -> None:
    assert choose_n_workers(engine_has_cores=engine_has_cores, n_cores=n_cores) == n_workers
