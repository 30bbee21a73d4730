"""The one thread that calls a model: it takes the chunks that wait, of several requests, as one batch."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from hf_asr_endpoint.cancellation import SHUTTING_DOWN, CancellationToken
from hf_asr_endpoint.errors import EngineError, EngineUnavailable
from hf_asr_endpoint.transformers_models.family import ChunkInContext, ChunkText, Family
from hf_asr_endpoint.types import TranscriptionOptions
from hf_asr_endpoint.whisper.process import trim_heap
from hf_asr_endpoint.whisper.threads import use_all_cores

logger = logging.getLogger(__name__)

CHUNKS_BETWEEN_TRIMS = 16  # of the heap


@dataclass(frozen=True, slots=True)
class _Work:
    chunk: ChunkInContext
    options: TranscriptionOptions
    token: CancellationToken
    result: Future[ChunkText]


class ModelWorker:
    """Chunks of one request are computed in order, and those of several requests in turn. From any thread."""

    def __init__(
        self, family: Family, *, max_batch: int, turns: AbstractContextManager[None] | None = None
    ) -> None:
        """max_batch: chunks in one batch, at most. turns: of all models that compute on the same cores."""
        self._family = family
        self._max_batch = max_batch
        self._turns = nullcontext() if turns is None else turns
        self._changed = threading.Condition()
        self._waiting: dict[CancellationToken, deque[_Work]] = {}  # by request, the next one first
        self._is_closed = False
        self._n_chunks_since_trim = 0
        self.failure: BaseException | None = None
        """What ended the thread, if it was not `close`."""
        self.n_running = 0
        self.seconds = 0.0
        """Seconds of all batches."""
        self.n_batches = 0
        self.ended: Counter[str] = Counter()
        """Chunks that have ended, by outcome: "finished", "cancelled", "failed"."""
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def n_waiting(self) -> int:
        with self._changed:
            return sum(map(len, self._waiting.values()))

    def submit(
        self, chunk: ChunkInContext, options: TranscriptionOptions, token: CancellationToken
    ) -> Future[ChunkText]:
        """Return the chunk's text to come; it raises EngineError and its kinds. Cancelled, it never runs.

        options: only what `for_the_model` keeps, so that other differences do not part batches.
        """
        work = _Work(chunk, options, token, Future())
        with self._changed:
            if self._is_closed or self.failure is not None:
                raise EngineUnavailable(SHUTTING_DOWN if self._is_closed else f"the model stopped: {self.failure}")
            self._waiting.setdefault(token, deque()).append(work)
            self._changed.notify()
        token.add_callback(lambda: self._discard(token))
        return work.result

    def close(self) -> None:
        """End the thread, after the batch at hand. What waits raises EngineUnavailable."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()
        self._end_waiting(EngineUnavailable(SHUTTING_DOWN))

    def _discard(self, token: CancellationToken) -> None:
        """Forget a cancelled request's chunks."""
        with self._changed:
            discarded = self._waiting.pop(token, ())
            self.ended["cancelled"] += len(discarded)
        for work in discarded:
            work.result.set_exception(_cancellation(token))

    def _run(self) -> None:
        use_all_cores()
        try:
            while batch := self._take():
                self._compute(batch)
                self._trim(len(batch))
        except BaseException as exc:  # Without its thread, all later requests would wait.
            logger.exception("the model's thread ended")
            with self._changed:
                self.failure = exc
            self._end_waiting(EngineUnavailable(f"the model stopped: {type(exc).__name__}: {exc}"))

    def _take(self) -> list[_Work]:
        """Wait for work, and return chunks with equal options, one of each request in turn; none at the end."""
        with self._changed:
            while not self._waiting and not self._is_closed:
                self._changed.wait()
            if self._is_closed:
                return []
            first = next(iter(self._waiting.values()))[0]
            # What is sampled must not depend on who else asks: such chunks are computed alone.
            decoding = first.options.decoding
            limit = 1 if decoding.temperatures[0] > 0 else max(self._max_batch // decoding.beams.num_beams, 1)
            batch: list[_Work] = []
            while len(batch) < limit and (found := self._take_round(first.options, limit - len(batch))):
                batch += found
            self.n_running = len(batch)
            return batch

    def _take_round(self, options: TranscriptionOptions, limit: int) -> list[_Work]:
        """Take one chunk of each request whose next one has these options, and put these requests last."""
        found = [queue[0] for queue in self._waiting.values() if queue[0].options == options][:limit]
        for work in found:
            queue = self._waiting.pop(work.token)
            queue.popleft()
            if queue:
                self._waiting[work.token] = queue
        return found

    def _compute(self, batch: list[_Work]) -> None:
        def have_left() -> list[bool]:
            return [work.token.is_cancelled for work in batch]

        with self._turns:
            began = time.perf_counter()
            try:
                texts = self._family.transcribe(
                    [work.chunk for work in batch], batch[0].options, have_left=have_left
                )
                if len(texts) != len(batch):
                    raise RuntimeError(f"{len(texts)} texts for {len(batch)} chunks")
            except Exception as exc:  # Models raise anything; the next batch may succeed.
                logger.exception("a batch of %d chunks failed", len(batch))
                error = EngineError(f"the model failed: {type(exc).__name__}: {exc}")
                error.__cause__ = exc
                self._end(batch, error)
                return
            except BaseException as exc:
                self._end(batch, EngineUnavailable(f"the model stopped: {type(exc).__name__}: {exc}"))
                raise
            finally:
                self.n_running = 0
                self.n_batches += 1
                self.seconds += time.perf_counter() - began
        for work, text in zip(batch, texts, strict=True):
            if work.token.is_cancelled:  # The text may have been cut off.
                self.ended["cancelled"] += 1
                work.result.set_exception(_cancellation(work.token))
            else:
                self.ended["finished"] += 1
                work.result.set_result(text)

    def _trim(self, n_chunks: int) -> None:
        """Return the memory of large batches to the system, from time to time, when nothing waits."""
        self._n_chunks_since_trim += n_chunks
        if self._n_chunks_since_trim >= CHUNKS_BETWEEN_TRIMS and not self.n_waiting:
            self._n_chunks_since_trim = 0
            trim_heap()

    def _end(self, batch: list[_Work], error: Exception) -> None:
        self.ended["failed"] += len(batch)
        for work in batch:
            work.result.set_exception(error)

    def _end_waiting(self, error: Exception) -> None:
        with self._changed:
            waiting = [work for queue in self._waiting.values() for work in queue]
            self._waiting.clear()
        self._end(waiting, error)


def _cancellation(token: CancellationToken) -> Exception:
    try:
        token.raise_if_cancelled()
    except EngineUnavailable as exc:
        return exc
    return EngineUnavailable(SHUTTING_DOWN)
