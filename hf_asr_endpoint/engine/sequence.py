"""One chunk's decoding, from waiting for a slot to its end."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput
from hf_asr_endpoint.whisper.decoding.state import (
    AttemptRules,
    DecoderPrompt,
    DecodingState,
    begin_rows,
    best_row,
)


class Status(enum.Enum):
    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Stage(enum.Enum):
    """What a running sequence needs next."""

    ENCODE = "encode"
    PREFILL = "prefill"
    DECODE = "decode"
    ALIGN = "align"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One way of decoding a window.

    window: what the model encodes; None decodes again what the attempt before has encoded.
    """

    window: object | None
    prompt: DecoderPrompt
    rules: AttemptRules


class Request:
    """Ties together the sequences of one request, for fairness and for cancelling."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()

    @property
    def is_cancelled(self) -> bool:
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Let go of all its sequences within one step. From any thread."""
        self._cancelled.set()


@dataclass(slots=True, eq=False, kw_only=True)
class Sequence:
    """What is to be decoded and who wants to know. Once submitted, only the engine changes it.

    n_slots: how many it needs, for beams as many as there are in any of its attempts.
    The callbacks are called by the engine's thread and must not block.
    on_attempt: given an attempt's result, returns what comes next: another attempt, or text to be aligned with the
    window that was encoded last, or None for neither.
    on_end: told once, when the status is FINISHED, CANCELLED or FAILED.
    on_prefill: told when an attempt's prompt is decoded: the language and no_speech_prob are known then.
    on_alignment: given what the model's `align` has found; the end follows.
    """

    request: Request
    attempt: Attempt
    on_attempt: Callable[[DecodingState], Attempt | AlignmentInput | None]
    on_end: Callable[[Sequence], None]
    on_prefill: Callable[[DecodingState], None] = lambda state: None
    on_alignment: Callable[[Any], None] = lambda alignment: None
    n_slots: int = 1
    status: Status = Status.WAITING
    slots: tuple[int, ...] = ()
    """While it is running, in ascending order."""
    rows: list[DecodingState] = field(init=False)
    """Of the attempt under way, or of the last one: in its first slot, its second …"""
    stage: Stage = field(init=False)
    text: AlignmentInput | None = None
    """What is to be aligned, once that is known."""
    error: Exception | None = None
    """Why the status is FAILED."""

    def __post_init__(self) -> None:
        self.begin(self.attempt)

    @property
    def slot(self) -> int | None:
        """The first of its slots."""
        return self.slots[0] if self.slots else None

    @property
    def state(self) -> DecodingState:
        """The attempt's result, as far as it is known."""
        return self.rows[0] if len(self.rows) == 1 else best_row(self.rows)

    @property
    def running_rows(self) -> dict[int, DecodingState]:
        """What is not finished, by slot."""
        return {slot: row for slot, row in zip(self.slots, self.rows, strict=False) if not row.is_finished}

    def begin(self, attempt: Attempt) -> None:
        """Start over with another attempt, in the same slots."""
        self.attempt = attempt
        self.rows = begin_rows(attempt.prompt, attempt.rules)
        assert len(self.rows) <= self.n_slots
        self.stage = Stage.PREFILL if attempt.window is None else Stage.ENCODE

    def align(self, text: AlignmentInput) -> None:
        """Go on with what comes after the last attempt."""
        self.text = text
        self.stage = Stage.ALIGN

    def end(self, status: Status, error: Exception | None = None) -> None:
        self.status, self.error, self.slots = status, error, ()
        self.on_end(self)
