"""What a session tells its caller, and what words are. Times are seconds of the session's audio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from hf_asr_endpoint.types import TokenLogprob, Word


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveWord:
    """A word with its times and its tokens."""

    word: Word
    tokens: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...] = ()

    @property
    def text(self) -> str:
        return self.word.word


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStarted:
    """A turn has begun, `at_s` with the silence that is kept before speech."""

    turn: int
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStopped:
    """A turn has ended, `at_s` with the silence that ended it."""

    turn: int
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleTimeout:
    """Nobody has spoken for a while; an empty turn follows."""

    turn: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """The turn's audio is complete."""

    turn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """Words that follow those of the turn's deltas so far. They are never taken back."""

    turn: int
    words: tuple[LiveWord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interim:
    """Words that the last pass heard behind all deltas, and is not certain of; none any more, if empty.

    They hold until the turn's next interim, delta or end.
    """

    turn: int
    words: tuple[LiveWord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The turn's whole text, which may differ from its deltas. duration_s: of its audio."""

    turn: int
    text: str
    words: tuple[LiveWord, ...]
    duration_s: float
    language: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The model failed; the turn has no text."""

    turn: int
    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """Audio that was not committed has been dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRefused:
    """There is too little audio for a turn. tag: of the commit."""

    buffered_s: float
    tag: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """The options are in force for all audio that follows. tag: of the call."""

    tag: str | None


LiveEvent: TypeAlias = (
    SpeechStarted
    | SpeechStopped
    | IdleTimeout
    | Committed
    | Delta
    | Interim
    | Completed
    | Failed
    | Cleared
    | CommitRefused
    | Configured
)
