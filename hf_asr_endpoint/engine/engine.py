"""The engine: one thread that advances every running sequence by a token, step after step."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from collections.abc import Sequence as Many
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from hf_asr_endpoint.cancellation import SHUTTING_DOWN
from hf_asr_endpoint.engine.meter import Meter
from hf_asr_endpoint.engine.model import SpeechModel
from hf_asr_endpoint.engine.scheduler import Scheduler, n_reserved_slots
from hf_asr_endpoint.engine.sequence import Attempt, Detection, Sequence, Stage, Status
from hf_asr_endpoint.engine.turns import Turns
from hf_asr_endpoint.errors import EngineError, EngineUnavailable
from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput
from hf_asr_endpoint.whisper.decoding.state import DecodingState
from hf_asr_endpoint.whisper.language_scores import LanguageScores

logger = logging.getLogger(__name__)


class Engine:
    """Owns the model and the scheduler; only its thread touches them.

    Other threads submit sequences, cancel their requests and close the engine. Every submitted sequence ends:
    its `on_end` is called exactly once.
    """

    def __init__(
        self,
        model: SpeechModel,
        *,
        slots: int,
        windows_per_step: int = 1,
        sequences_per_step: int | None = None,
        turns: Turns | None = None,
    ) -> None:
        """windows_per_step: windows encoded, or aligned, at most, before running sequences get their next token.

        sequences_per_step: that advance when a short request is admitted, at most; None: as many as have slots.
        turns: of engines that share the processor; None: this is the only one.
        """
        self._model = model
        self._turns = turns
        self._turn: AbstractContextManager[None] = turns or nullcontext()
        self._windows_per_step = windows_per_step
        self._scheduler = Scheduler(slots=slots, sequences_per_step=sequences_per_step)
        self.meter = Meter()
        # Shared between threads, under `_changed`:
        self._changed = threading.Condition()
        self._submitted: deque[Sequence] = deque()
        self._closing = False
        self._is_waiting = True  # for a sequence
        self._end_of_thread: EngineUnavailable | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @property
    def slots(self) -> int:
        """How many slots there are."""
        return self._scheduler.slots

    @property
    def slots_per_request(self) -> int:
        """How many of them one request may have, and so one sequence."""
        return self.slots - n_reserved_slots(self.slots)

    def start(self) -> None:
        """Start the engine's thread. Called once."""
        self._thread.start()

    @property
    def failure(self) -> Exception | None:
        """Why the engine takes no more sequences; None while it does."""
        return self._end_of_thread

    @property
    def is_busy(self) -> bool:
        """Whether it, or an engine with which it shares the processor, has something to do. From any thread."""
        return not self._is_waiting or (self._turns is not None and self._turns.is_taken)

    def open_session(self) -> None:
        """Keep slots for live sequences, until `close_session`. From any thread."""
        with self._changed:
            self._scheduler.n_sessions += 1

    def close_session(self) -> None:
        """End what `open_session` began."""
        with self._changed:
            self._scheduler.n_sessions -= 1

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence that needs at most `slots`. Raises EngineUnavailable when the thread has ended."""
        assert sequence.n_slots <= self.slots_per_request
        with self._changed:
            if self._end_of_thread is not None:
                raise self._end_of_thread
            self._submitted.append(sequence)
            self._changed.notify()

    def close(self) -> None:
        """Stop the thread; sequences in flight fail with EngineUnavailable."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def step(self) -> None:
        """Admit what was submitted, and advance what is running by one token.

        A request that has the engine to itself fills its slots before any of its prompts or tokens is decoded: a
        prefill or step of many rows takes hardly longer than one of few.
        """
        self._receive()
        self._drop_cancelled()
        self._scheduler.begin_step()
        has_encoded = self._encode()
        if has_encoded and self._scheduler.is_filling():
            return
        self._prefill()
        self._decode()
        self._align()

    def _run(self) -> None:
        reason = EngineUnavailable(SHUTTING_DOWN)
        try:
            while self._wait_for_work():
                with self._turn:
                    self.step()
                self.meter.n_slots_in_use = self._scheduler.n_slots_in_use
                self.meter.n_waiting = self._scheduler.n_waiting
        except BaseException as exc:  # A thread that dies silently would leave every request waiting.
            logger.exception("the engine has stopped")
            reason = EngineUnavailable(f"the engine has stopped: {type(exc).__name__}: {exc}")
        finally:
            with self._changed:
                self._end_of_thread = reason
                unfinished = [*self._scheduler, *self._submitted]
                self._submitted.clear()
            for sequence in unfinished:
                sequence.end(Status.FAILED, reason)

    def _wait_for_work(self) -> bool:
        """Wait for something to do. Returns False when the engine closes."""
        with self._changed:
            while not (self._closing or self._submitted or len(self._scheduler)):
                self._is_waiting = True
                self._changed.wait()
            self._is_waiting = False
            return not self._closing

    def _receive(self) -> None:
        with self._changed:
            while self._submitted:
                self._scheduler.submit(self._submitted.popleft())

    def _drop_cancelled(self) -> None:
        for sequence in [sequence for sequence in self._scheduler if sequence.request.is_cancelled]:
            self._end(sequence, Status.CANCELLED)

    def _encode(self) -> bool:
        """Encode up to `windows_per_step` windows. Returns whether any have been encoded.

        Where the model still encodes others beside its steps, new ones wait: slots become free one at a time, and
        windows that have waited are encoded together, which takes less time.
        """
        if self._model.is_encoding:
            return False
        chosen = self._choose(Stage.ENCODE)
        while len(chosen) < self._windows_per_step and (admitted := self._scheduler.admit()) is not None:
            chosen.append(admitted)
            self._scheduler.count_begun(admitted)
        windows = {slot: sequence.attempt.window for sequence in chosen for slot in sequence.slots}
        spans = {
            _slot(sequence): sequence.attempt.spans
            for sequence in chosen
            if isinstance(sequence.attempt, Detection)
        }
        scores: dict[int, Many[LanguageScores]] = {}
        is_encoded = self._succeeds(
            Stage.ENCODE, chosen, lambda: scores.update(self._model.encode(windows, spans=spans))
        )
        if not is_encoded:
            return False
        for sequence in chosen:
            if isinstance(sequence.attempt, Detection):
                self._follow(sequence, partial(sequence.on_languages, scores[_slot(sequence)]))
            else:
                sequence.stage = Stage.PREFILL
        return True

    def _prefill(self) -> None:
        new = [sequence for sequence in self._scheduler.batch() if sequence.stage is Stage.PREFILL]
        rows = _rows(new)
        if self._succeeds(Stage.PREFILL, new, lambda: self._model.prefill(rows)):
            self.meter.n_tokens += len(rows)
            for sequence in new:
                sequence.stage = Stage.DECODE
            self._conclude(new)

    def _decode(self) -> None:
        batch = [sequence for sequence in self._scheduler.batch() if sequence.stage is Stage.DECODE]
        rows = _rows(batch)
        if self._succeeds(Stage.DECODE, batch, lambda: self._model.decode_step(rows)):
            self.meter.n_tokens += len(rows)
            self._conclude(batch)

    def _align(self) -> None:
        """Align up to `windows_per_step` texts with their windows; the running sequences wait meanwhile."""
        chosen = self._choose(Stage.ALIGN)
        texts = {_slot(sequence): _text(sequence) for sequence in chosen}
        alignments: dict[int, Any] = {}
        if self._succeeds(Stage.ALIGN, chosen, lambda: alignments.update(self._model.align(texts))):
            for sequence in chosen:
                sequence.on_alignment(alignments[_slot(sequence)])
                self._end(sequence, Status.FINISHED)

    def _choose(self, stage: Stage) -> list[Sequence]:
        """Return the windows that are next in a stage that keeps all others waiting."""
        waiting = [sequence for sequence in self._scheduler.batch() if sequence.stage is stage]
        chosen = [sequence for sequence in waiting if self._scheduler.may_begin(sequence)]
        chosen = chosen[: self._windows_per_step]
        for sequence in chosen:
            self._scheduler.count_begun(sequence)
        return chosen

    def _conclude(self, sequences: Many[Sequence]) -> None:
        """Start what follows a finished attempt, or end the sequence."""
        for sequence in sequences:
            if all(row.is_finished for row in sequence.rows):
                self._follow(sequence, partial(sequence.on_attempt, sequence.state))

    def _follow(self, sequence: Sequence, decide: Callable[[], Attempt | AlignmentInput | None]) -> None:
        """Start what the caller decides to do next, or end the sequence."""
        if sequence.request.is_cancelled:  # The model may have cut the text off.
            self._end(sequence, Status.CANCELLED)
            return
        try:
            following = decide()
        except Exception as exc:  # A bug of one caller must not end the others.
            logger.exception("a result could not be evaluated")
            self._end(sequence, Status.FAILED, EngineError(f"the result could not be evaluated: {exc!r}"))
            return
        match following:
            case None:
                self._end(sequence, Status.FINISHED)
            case Attempt():
                self.meter.n_fallbacks += isinstance(sequence.attempt, Attempt)
                sequence.begin(following)
            case AlignmentInput():
                sequence.align(following)

    def _succeeds(self, stage: Stage, sequences: Many[Sequence], work: Callable[[], None]) -> bool:
        """Run `work` for these sequences. When it raises, fail them, and only them, and return False."""
        if not sequences:
            return False
        try:
            with self.meter.timed(stage):
                work()
        except EngineUnavailable:  # There is nothing left to go on with.
            raise
        except Exception as exc:  # torch raises anything; the engine lives on.
            logger.exception("the model failed")
            error = EngineError(f"the model failed: {type(exc).__name__}: {exc}")
            error.__cause__ = exc
            for sequence in sequences:
                self._end(sequence, Status.FAILED, error)
            return False
        return True

    def _end(self, sequence: Sequence, status: Status, error: Exception | None = None) -> None:
        for slot in sequence.slots:
            self._model.free(slot)
        self._scheduler.remove(sequence)
        self.meter.n_slots_in_use = self._scheduler.n_slots_in_use  # The caller may ask as soon as it is told.
        self.meter.ended[status] += 1
        if status is Status.FINISHED and sequence.rows:
            sequence.request.n_decoded += 1
        sequence.end(status, error)


def _rows(sequences: Many[Sequence]) -> dict[int, DecodingState]:
    """Return the unfinished rows of all these sequences, by slot."""
    return {slot: row for sequence in sequences for slot, row in sequence.running_rows.items()}


def _slot(sequence: Sequence) -> int:
    assert sequence.slot is not None
    return sequence.slot


def _text(sequence: Sequence) -> AlignmentInput:
    assert sequence.text is not None
    return sequence.text
