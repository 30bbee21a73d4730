"""Prepares the audio of all requests in a few threads of this process, which take turns by time.

A turn lasts some milliseconds, and the next one goes to the request that has had the least time: six hours of
silence delay nobody else's clip. While the engine is busy, a worker rests after the turns of a request that finds
no speech: such turns give the engine nothing, and take its cores and the interpreter from it. A request that has
as many chunks ahead as it may, or is cancelled, takes no more turns.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from hf_asr_endpoint.audio.levelling import LevelledDetector
from hf_asr_endpoint.audio.speech_spans import SpeechDetector
from hf_asr_endpoint.audio.vad import VoiceActivityDetector
from hf_asr_endpoint.cancellation import SHUTTING_DOWN
from hf_asr_endpoint.errors import EngineError, EngineUnavailable
from hf_asr_endpoint.transcription.preparation import ChunkSource, Preparation, PreparationOrder
from hf_asr_endpoint.transcription.spectrogram import SpectrogramMaker
from hf_asr_endpoint.whisper.threads import N_CORES, use_one_core

logger = logging.getLogger(__name__)

HEAD_START_S = 0.5  # seconds that a new request is ahead of the others: a clip is prepared at once
REST = 2.0  # seconds of rest for each second of fruitless work
CORES_PER_WORKER = 4  # An engine on the CPU has all cores; more workers would make its steps slower.
MAX_BESIDE_GPU = 4  # Python's lock lets no more threads than these prepare at a time.


def choose_n_workers(*, engine_has_cores: bool, n_cores: int = N_CORES) -> int:
    """Return how many threads prepare. engine_has_cores: it computes on them, and not on a GPU."""
    if engine_has_cores:
        return max(1, n_cores // CORES_PER_WORKER)
    return max(1, min(MAX_BESIDE_GPU, n_cores - 1))


class PreparationWorkers:
    """See `Preparations`: threads that give every preparation its turns."""

    failure = ""
    """Nothing keeps threads from working."""

    def __init__(
        self,
        make_spectrogram: SpectrogramMaker,
        *,
        is_engine_busy: Callable[[], bool] | None,
        n_workers: int | None = None,
        detector: SpeechDetector | None = None,
    ) -> None:
        """is_engine_busy: see `BeginPreparations`. n_workers: None chooses. detector: None is silero-vad's."""
        self._make_spectrogram = make_spectrogram
        self._detector = detector or LevelledDetector(VoiceActivityDetector())
        self._is_engine_busy = is_engine_busy or (lambda: False)
        self._changed = threading.Condition()
        self._queue: list[Preparation] = []  # by arrival
        self._is_closed = False
        self.worked_s = 0.0
        """Seconds of all turns since the start."""
        self.prepared_audio_s = 0.0
        """Seconds of audio that were read in them."""
        n_workers = n_workers or choose_n_workers(engine_has_cores=is_engine_busy is not None)
        self._threads = [
            threading.Thread(target=self._run, name=f"prepare-{index}", daemon=True) for index in range(n_workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, order: PreparationOrder) -> ChunkSource:
        """Give a recording its turns until it ends."""
        preparation = Preparation(order, detector=self._detector, make_spectrogram=self._make_spectrogram)
        with self._changed:
            shortest_s = min((queued.time_used_s for queued in self._queue), default=0.0)
        preparation.time_used_s = shortest_s - HEAD_START_S
        preparation.start(lambda: self._push(preparation))
        return preparation

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
            began, read_s = time.perf_counter(), 0.0
            try:
                read_s = preparation.take_turn()
            except BaseException as exc:  # Such as SystemExit: without its thread, all later requests would wait.
                logger.exception("a turn of preparing audio ended its thread's work")
                preparation.end(EngineError(f"the audio could not be prepared: {type(exc).__name__}: {exc}"))
            ended = time.perf_counter()
            if preparation.is_fruitless:
                rested_at_s = ended + REST * (ended - began)
            self._count(ended - began, read_s)

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
