"""What one live session wants."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from hf_asr_endpoint.audio.headerless import PcmFormat

Delay = Literal["minimal", "low", "medium", "high", "xhigh"]
DELAYS: tuple[Delay, ...] = get_args(Delay)

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerVad:
    """A turn ends after a silence. Names and defaults are OpenAI's, in seconds.

    idle_timeout_s: of silence behind a turn, after which the client is told; None: never.
    """

    threshold: float = DEFAULT_THRESHOLD
    prefix_padding_s: float = 0.3
    silence_duration_s: float = 0.5
    idle_timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticVad:
    """A turn ends after a short silence where its text is a whole sentence, else after `max_wait_s`."""

    max_wait_s: float = 4.0


TurnDetection: TypeAlias = ServerVad | SemanticVad | None
"""None: the caller commits its turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """The options of a session. They may change while it is open; `model` only before its first audio.

    delay: how certain a word must be before it is shown.
    The other names are those of `TranscriptionOptions`.
    """

    audio: PcmFormat = field(default_factory=lambda: PcmFormat(sample_rate=24_000))
    turn_detection: TurnDetection = field(default_factory=ServerVad)
    delay: Delay = "low"
    model: str | None = None
    language: str | None = None
    languages: tuple[str, ...] = ()
    prompt: str | None = None
    hotwords: str | None = None

    @property
    def speech_threshold(self) -> float:
        """The probability above which audio is speech."""
        detection = self.turn_detection
        return detection.threshold if isinstance(detection, ServerVad) else DEFAULT_THRESHOLD

    @property
    def idle_timeout_s(self) -> float | None:
        """The silence behind a turn that the client is told of; None: of none."""
        detection = self.turn_detection
        return detection.idle_timeout_s if isinstance(detection, ServerVad) else None
