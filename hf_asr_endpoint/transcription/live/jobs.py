"""What a session asks of the engine, and what it gets. Times are seconds of the session's audio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hf_asr_endpoint.audio.chunking import SpeechSpan
from hf_asr_endpoint.cancellation import CancellationToken
from hf_asr_endpoint.transcription.live.events import LiveWord
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """Audio to be decoded. speech: from the beginning of the waveform. Cancelling the token drops it."""

    waveform: Waveform
    start_s: float
    speech: tuple[SpeechSpan, ...]
    options: LiveOptions
    token: CancellationToken = field(default_factory=CancellationToken)

    @property
    def duration_s(self) -> float:
        return len(self.waveform) / SAMPLE_RATE

    @property
    def end_s(self) -> float:
        return self.start_s + self.duration_s

    @property
    def speech_s(self) -> float:
        return sum(span.end_s - span.start_s for span in self.speech)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PartialJob(Job):
    """A window whose text begins with `confirmed` and probably goes on with the tokens of `draft`."""

    confirmed: tuple[LiveWord, ...] = ()
    draft: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FinalJob(Job):
    """A piece of a turn.

    draft: tokens that its text probably has. before: what was said right before it, if it is known.
    is_urgent: somebody waits for it.
    """

    draft: tuple[int, ...] = ()
    before: FinalResult | None = None
    is_urgent: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialResult:
    """The words behind the confirmed ones. took_s: from the job to this."""

    words: Sequence[LiveWord] = ()
    is_language_known: bool = True
    took_s: float = 0.0
    error: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalResult:
    """The text of a piece. words: joined, they are the text."""

    text: str = ""
    words: Sequence[LiveWord] = ()
    language: str | None = None
    is_language_known: bool = True
    error: Exception | None = None
