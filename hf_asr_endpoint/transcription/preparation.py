"""Audio of all requests to chunks with their spectrograms, in a few worker threads that take turns by time.

A turn lasts some milliseconds, and the next one goes to the request that has had the least time: six hours of
silence delay nobody else's clip. While the engine is busy, a worker rests after the turns of a request that finds
no speech: such turns give the engine nothing, and take its cores and the interpreter from it. Each request has a
bounded number of chunks ahead of its consumer; a request that has reached it, or is cancelled, takes no more
turns. Knows no engine and no text.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hf_asr_endpoint.audio.chunking import Chunk, ChunkingOptions, SpeechSpan, split_chunks
from hf_asr_endpoint.audio.source import WaveformReader
from hf_asr_endpoint.audio.speech_spans import SpeechDetector
from hf_asr_endpoint.cancellation import SHUTTING_DOWN, CancellationToken
from hf_asr_endpoint.errors import EngineError, EngineUnavailable
from hf_asr_endpoint.transcription.spectrogram import ChunkSpectrogram
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from hf_asr_endpoint.whisper.threads import N_CORES, use_one_core

logger = logging.getLogger(__name__)

TURN_S = 0.02  # seconds of work after which another request gets the worker
HEAD_START_S = 0.5  # seconds that a new request is ahead of the others: a clip is prepared at once
FRUITLESS_S = 0.5  # seconds of work without a chunk after which a request's turns cost a rest
REST = 2.0  # seconds of rest for each second of fruitless work
CORES_PER_WORKER = 4  # The engine has all cores; more workers would make its steps slower.


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedChunk:
    """A chunk as the encoder needs it. speech: seconds from the beginning of the chunk, in order, at least one."""

    offset_s: float
    duration_s: float
    speech: tuple[SpeechSpan, ...]
    spectrogram: ChunkSpectrogram


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparationEnd:
    """No more chunks come. error: why the audio could not be read to its end; None when it was."""

    duration_s: float
    error: Exception | None


Deliver = Callable[[PreparedChunk | PreparationEnd], None]
"""Takes chunks in order and one PreparationEnd, last. Called by worker threads; must not block."""


class Preparation:
    """One request's audio. Its consumer calls `release` for each chunk that it has finished with."""

    def __init__(
        self,
        reader: WaveformReader,
        chunking: ChunkingOptions,
        *,
        detector: SpeechDetector,
        make_spectrogram: Callable[[Waveform], ChunkSpectrogram],
        max_ahead: int,
        token: CancellationToken,
        deliver: Deliver,
        ramps_up: bool = False,
        on_length: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """reader: closed in every case. max_ahead: chunks delivered and not yet released, at most.

        ramps_up: allow one chunk ahead at first, and one more with each release, so that the first come sooner.
        on_length: takes the length in seconds that the file declares, if it does; what it raises ends the request.
        """
        self._reader = reader
        self._make_spectrogram = make_spectrogram
        self._token = token
        self._deliver = deliver
        self._on_length = on_length
        self._n_samples = 0
        self._is_length_told = False
        self._chunks = split_chunks(self._counted(), detector, options=chunking)
        self._lock = threading.Lock()
        self._n_free = 1 if ramps_up else max_ahead
        self._n_withheld = max_ahead - self._n_free
        self._is_parked = False
        self._enqueue: Callable[[], None] = lambda: None
        self.time_used_s = 0.0
        self._worked_s = 0.0  # since the last chunk

    @property
    def audio_s(self) -> float:
        """Seconds of audio that have been read."""
        return self._n_samples / SAMPLE_RATE

    @property
    def is_fruitless(self) -> bool:
        """Whether it has long found no speech."""
        return self._worked_s > FRUITLESS_S

    def start(self, enqueue: Callable[[], None]) -> None:
        """Queue for the first turn. enqueue: queues this preparation for another turn; from any thread."""
        self._enqueue = enqueue
        self._token.add_callback(self._wake)
        enqueue()

    def release(self) -> None:
        """Make room for another chunk. From any thread."""
        with self._lock:
            self._n_free += 1
        self.allow_another()

    def allow_another(self) -> None:
        """Allow one more chunk, if that is not more than `max_ahead`. From any thread."""
        with self._lock:
            if self._n_withheld:
                self._n_withheld -= 1
                self._n_free += 1
        self._wake()

    def take_turn(self) -> None:
        """Prepare for up to TURN_S, then queue again, wait for room, or end."""
        began = time.perf_counter()
        try:
            while time.perf_counter() - began < TURN_S:
                self._token.raise_if_cancelled()
                if self._park_if_full():
                    return
                chunk = next(self._chunks)
                if chunk is not None:
                    self._worked_s = 0.0
                    self._take_one_place()
                    self._deliver(self._prepare(chunk))
        except StopIteration:
            self.end(None)
            return
        except Exception as exc:
            self.end(exc)
            return
        finally:
            worked_s = time.perf_counter() - began
            self.time_used_s += worked_s
            self._worked_s += worked_s
        self._enqueue()

    def end(self, error: Exception | None) -> None:
        """Free the audio and deliver the end."""
        self._chunks = iter(())
        self._reader.close()
        self._deliver(PreparationEnd(duration_s=self.audio_s, error=error))

    def _counted(self) -> Iterator[Waveform]:
        for block in self._reader:
            if self._reader.declared_s is not None and not self._is_length_told:
                self._is_length_told = True
                self._on_length(self._reader.declared_s)
            self._n_samples += len(block)
            yield block

    def _prepare(self, chunk: Chunk) -> PreparedChunk:
        return PreparedChunk(
            offset_s=chunk.offset_s,
            duration_s=len(chunk.waveform) / SAMPLE_RATE,
            speech=chunk.speech,
            spectrogram=self._make_spectrogram(chunk.waveform),
        )

    def _take_one_place(self) -> None:
        with self._lock:
            self._n_free -= 1

    def _park_if_full(self) -> bool:
        with self._lock:
            self._is_parked = self._n_free <= 0 and not self._token.is_cancelled
            return self._is_parked

    def _wake(self) -> None:
        with self._lock:
            was_parked, self._is_parked = self._is_parked, False
        if was_parked:
            self._enqueue()


class PreparationWorkers:
    """Threads that give every preparation its turns."""

    def __init__(
        self, *, is_engine_busy: Callable[[], bool], n_workers: int = max(1, N_CORES // CORES_PER_WORKER)
    ) -> None:
        """is_engine_busy: returns whether the engine wants the cores now; from any thread."""
        self._is_engine_busy = is_engine_busy
        self._changed = threading.Condition()
        self._queue: list[Preparation] = []  # by arrival
        self._is_closed = False
        self.worked_s = 0.0
        """Seconds of all turns since the start."""
        self.prepared_audio_s = 0.0
        """Seconds of audio that were read in them."""
        self._threads = [
            threading.Thread(target=self._run, name=f"prepare-{index}", daemon=True) for index in range(n_workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, preparation: Preparation) -> None:
        """Give a new preparation its turns until it ends."""
        with self._changed:
            shortest_s = min((queued.time_used_s for queued in self._queue), default=0.0)
        preparation.time_used_s = shortest_s - HEAD_START_S
        preparation.start(lambda: self._push(preparation))

    def close(self) -> None:
        """End every queued preparation with EngineUnavailable, and the threads. Blocks for one turn at most."""
        with self._changed:
            self._is_closed = True
            unfinished, self._queue = self._queue, []
            self._changed.notify_all()
        for preparation in unfinished:
            preparation.end(EngineUnavailable(SHUTTING_DOWN))
        for thread in self._threads:
            thread.join()

    def _push(self, preparation: Preparation) -> None:
        with self._changed:
            if not self._is_closed:
                self._queue.append(preparation)
                self._changed.notify_all()  # One of them may be resting.
                return
        preparation.end(EngineUnavailable(SHUTTING_DOWN))

    def _run(self) -> None:
        use_one_core()
        rested_at_s = 0.0
        while (preparation := self._next(rested_at_s)) is not None:
            began, audio_s = time.perf_counter(), preparation.audio_s
            try:
                preparation.take_turn()
            except BaseException as exc:  # Such as SystemExit: without its thread, all later requests would wait.
                logger.exception("a turn of preparing audio ended its thread's work")
                preparation.end(EngineError(f"the audio could not be prepared: {type(exc).__name__}: {exc}"))
            ended = time.perf_counter()
            if preparation.is_fruitless:
                rested_at_s = ended + REST * (ended - began)
            self._count(ended - began, preparation.audio_s - audio_s)

    def _count(self, worked_s: float, audio_s: float) -> None:
        with self._changed:
            self.worked_s += worked_s
            self.prepared_audio_s += audio_s

    def _next(self, rested_at_s: float) -> Preparation | None:
        """Wait for the next turn and return its preparation; None when the workers close.

        rested_at_s: when this worker may take a fruitless turn, by time.perf_counter().
        """
        with self._changed:
            while not self._is_closed:
                rest_s = rested_at_s - time.perf_counter()
                rests = rest_s > 0 and self._is_engine_busy()
                ready = [queued for queued in self._queue if not (rests and queued.is_fruitless)]
                if ready:
                    preparation = min(ready, key=lambda queued: queued.time_used_s)
                    self._queue.remove(preparation)
                    return preparation
                self._changed.wait(rest_s if rests and self._queue else None)
            return None
