"""Audio to chunks with their spectrograms: what a request orders, what it gets, and the work on one recording.

Each request has a bounded number of chunks ahead of its consumer. Knows no engine and no text.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from hf_asr_endpoint.audio.chunking import Chunk, ChunkingOptions, SpeechSpan, split_chunks
from hf_asr_endpoint.audio.source import WaveformReader
from hf_asr_endpoint.audio.speech_spans import SpeechDetector
from hf_asr_endpoint.cancellation import CancellationToken
from hf_asr_endpoint.transcription.spectrogram import ChunkSpectrogram, SpectrogramMaker
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE

TURN_S = 0.02  # seconds of work after which another request gets the worker
FRUITLESS_S = 0.5  # seconds of work without a chunk after which a request's turns cost a rest


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
"""Takes chunks in order and one PreparationEnd, last. Called by threads of whoever prepares; must not block."""


def ignore_length(seconds: float) -> None:
    """What a consumer does with a declared length who does not want to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparationOrder:
    """What a request wants prepared.

    reader: closed in every case. max_ahead: chunks delivered and not yet released, at most. ramps_up: allow one
    chunk ahead at first, and one more with each release, so that the first come sooner. on_length: takes the
    length in seconds that the file declares, if it does; what it raises ends the request.
    """

    reader: WaveformReader
    chunking: ChunkingOptions
    max_ahead: int
    token: CancellationToken
    deliver: Deliver
    ramps_up: bool = False
    on_length: Callable[[float], None] = ignore_length


class ChunkSource(Protocol):
    """Delivers the request's chunks up to a number that grows with `release` and `allow_another`."""

    def release(self) -> None:
        """Allow a chunk in the place of one that is done; a source that ramps up allows another one besides."""
        ...

    def allow_another(self) -> None:
        """Allow one more chunk, up to as many as the source was made for."""
        ...


class Preparations(Protocol):
    """Prepares the audio of all requests. From any thread."""

    @property
    def worked_s(self) -> float:
        """Seconds of work since the start."""
        ...

    @property
    def prepared_audio_s(self) -> float:
        """Seconds of audio that were read in them."""
        ...

    @property
    def failure(self) -> str:
        """Why nothing can be prepared now; "" if it can."""
        ...

    def submit(self, order: PreparationOrder) -> ChunkSource:
        """Begin to prepare. Chunks may come before this returns."""
        ...

    def close(self) -> None:
        """End all that is being prepared with EngineUnavailable. Blocks for a moment."""
        ...


class BeginPreparations(Protocol):
    """Makes the Preparations of one engine.

    is_engine_busy: returns whether the engine wants the cores now, from any thread; None: it computes elsewhere.
    """

    def __call__(
        self, make_spectrogram: SpectrogramMaker, *, is_engine_busy: Callable[[], bool] | None
    ) -> Preparations: ...


class Preparation:
    """One request's audio, and its `ChunkSource`. It works in the turns that it is given."""

    def __init__(
        self, order: PreparationOrder, *, detector: SpeechDetector, make_spectrogram: SpectrogramMaker
    ) -> None:
        self._order = order
        self._make_spectrogram = make_spectrogram
        self._token = order.token
        self._n_samples = 0
        self._is_length_told = False
        self._chunks = split_chunks(self._counted(), detector, options=order.chunking)
        self._lock = threading.Lock()
        self._n_free = 1 if order.ramps_up else order.max_ahead
        self._n_withheld = order.max_ahead - self._n_free
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

    def take_turn(self) -> float:
        """Prepare for up to TURN_S, then queue again, wait for room, or end. Returns the seconds of audio read."""
        began, read_before_s = time.perf_counter(), self.audio_s
        end: Exception | None = None
        try:
            while not self._is_full() and time.perf_counter() - began < TURN_S:
                self._token.raise_if_cancelled()
                chunk = next(self._chunks)
                if chunk is not None:
                    self._worked_s = 0.0
                    self._take_one_place()
                    self._order.deliver(self._prepare(chunk))
        except Exception as exc:
            end = exc
        worked_s, read_s = time.perf_counter() - began, self.audio_s - read_before_s
        self.time_used_s += worked_s
        self._worked_s += worked_s
        # From here on, another worker may have it.
        if end is not None:
            self.end(None if isinstance(end, StopIteration) else end)
        elif not self._park_if_full():
            self._enqueue()
        return read_s

    def end(self, error: Exception | None) -> None:
        """Free the audio and deliver the end."""
        self._chunks = iter(())
        self._order.reader.close()
        self._order.deliver(PreparationEnd(duration_s=self.audio_s, error=error))

    def _counted(self) -> Iterator[Waveform]:
        reader = self._order.reader
        for block in reader:
            if reader.declared_s is not None and not self._is_length_told:
                self._is_length_told = True
                self._order.on_length(reader.declared_s)
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

    def _is_full(self) -> bool:
        return self._n_free <= 0 and not self._token.is_cancelled

    def _park_if_full(self) -> bool:
        with self._lock:
            self._is_parked = self._is_full()
            return self._is_parked

    def _wake(self) -> None:
        with self._lock:
            was_parked, self._is_parked = self._is_parked, False
        if was_parked:
            self._enqueue()
