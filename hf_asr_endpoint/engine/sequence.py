"""One window's decoding, from waiting for a slot to its end."""

from __future__ import annotations

import enum
from collections.abc import Callable
from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from typing import Any

from hf_asr_endpoint.cancellation import CancellationToken
from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput
from hf_asr_endpoint.whisper.decoding.state import (
    AttemptRules,
    DecoderPrompt,
    DecodingState,
    begin_rows,
    best_row,
)
from hf_asr_endpoint.whisper.language_scores import LanguageScores, PositionSpan


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
    """One way to decode a window.

    window: what the model encodes; None decodes the window of the previous attempt again.
    """

    window: object | None
    prompt: DecoderPrompt
    rules: AttemptRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """Encode a window and ask which language its parts are in. spans: at least one."""

    window: object
    spans: tuple[PositionSpan, ...]


class Priority(enum.IntEnum):
    """Whose sequences get slots first. Live ones are short, and somebody waits for each of them."""

    LIVE_FINAL = 0
    LIVE_PARTIAL = 1
    RECORDING = 2


class Request:
    """Groups the sequences of one request, for fairness and cancellation.

    prefers_latency: its first sequence is decoded alone, and each one that finishes lets one more run at a time,
    so that a stream begins early and goes on evenly; otherwise its sequences fill the slots at once.
    owner: whose request it is, among all those that share the slots; None: nobody's in particular.
    priority: goes before fairness.
    """

    def __init__(
        self,
        token: CancellationToken | None = None,
        *,
        prefers_latency: bool = False,
        owner: str | None = None,
        priority: Priority = Priority.RECORDING,
    ) -> None:
        self.priority = priority
        self.token = token or CancellationToken()
        self.owner = owner
        self.prefers_latency = prefers_latency
        self.n_decoded = 0
        """How many of its sequences have been decoded to their end. Counted by the engine."""

    @property
    def is_cancelled(self) -> bool:
        return self.token.is_cancelled

    def has_left(self) -> bool:
        """Return whether it is cancelled, for those who ask again and again."""
        return self.is_cancelled

    @property
    def is_live(self) -> bool:
        return self.priority < Priority.RECORDING


@dataclass(slots=True, eq=False, kw_only=True)
class Sequence:
    """What to decode, and the callbacks that take its results. After `submit`, only the engine changes it.

    n_slots: how many slots it needs: the beams, candidates or samples of its widest attempt.
    The engine's thread calls the callbacks, which must not block.
    on_attempt: takes an attempt's result; returns the next attempt, or the text to align with the window that was
    encoded last, or None when the sequence is finished.
    on_end: called once, when the status is FINISHED, CANCELLED or FAILED.
    on_languages: takes the scores of a Detection's spans; returns an attempt, usually at the window that was
    encoded for it, or None when the sequence is finished.
    on_alignment: takes the result of the model's `align`; the sequence is finished after it.
    """

    request: Request
    attempt: Attempt | Detection
    on_attempt: Callable[[DecodingState], Attempt | AlignmentInput | None]
    on_end: Callable[[Sequence], None]
    on_languages: Callable[[Many[LanguageScores]], Attempt | None] = lambda scores: None
    on_alignment: Callable[[Any], None] = lambda alignment: None
    n_slots: int = 1
    status: Status = Status.WAITING
    slots: tuple[int, ...] = ()
    """In ascending order, while it is running."""
    rows: list[DecodingState] = field(init=False)
    """States of the current attempt, or of the last one, in the order of `slots`."""
    stage: Stage = field(init=False)
    text: AlignmentInput | None = None
    """The text to align, in the stage ALIGN."""
    error: Exception | None = None
    """Why the status is FAILED."""

    def __post_init__(self) -> None:
        self.begin(self.attempt)

    @property
    def slot(self) -> int | None:
        """The first slot."""
        return self.slots[0] if self.slots else None

    @property
    def state(self) -> DecodingState:
        """The current attempt's best row."""
        return self.rows[0] if len(self.rows) == 1 else best_row(self.rows)

    @property
    def running_rows(self) -> dict[int, DecodingState]:
        """The unfinished rows, by slot."""
        return {slot: row for slot, row in zip(self.slots, self.rows, strict=False) if not row.is_finished}

    def begin(self, attempt: Attempt | Detection) -> None:
        """Start an attempt, in the same slots."""
        self.attempt = attempt
        if isinstance(attempt, Detection):
            self.rows, self.stage = [], Stage.ENCODE
            return
        self.rows = begin_rows(attempt.prompt, attempt.rules)
        for row in self.rows:
            row.has_left = self.request.has_left  # Not of the sequence: that would be a cycle of references.
        assert len(self.rows) <= self.n_slots
        self.stage = Stage.PREFILL if attempt.window is None else Stage.ENCODE

    def align(self, text: AlignmentInput) -> None:
        """Align a text after the last attempt."""
        self.text = text
        self.stage = Stage.ALIGN

    def end(self, status: Status, error: Exception | None = None) -> None:
        self.status, self.error, self.slots = status, error, ()
        self.on_end(self)
