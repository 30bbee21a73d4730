"""What happens to one request: the messages in the inbox of its long form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from hf_asr_endpoint.engine.sequence import Sequence
from hf_asr_endpoint.transcription.passages import Vote
from hf_asr_endpoint.transcription.preparation import PreparationEnd, PreparedChunk


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowEnded:
    """From the engine's thread: a window's decoding has ended, in whatever status."""

    index: int
    sequence: Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsScored:
    """From the engine's thread: what the model says of one chunk's language.

    index: of the chunk before it, which has an open end; None while the recording's language is being decided.
    """

    index: int | None
    votes: tuple[Vote, ...]
    sequence: Sequence


class LanguageDecided:
    """From the engine's thread: the first chunk has decided the recording's language."""


class Cancelled:
    """From whoever cancelled the request: wake up."""


Event: TypeAlias = PreparedChunk | PreparationEnd | PartsScored | LanguageDecided | WindowEnded | Cancelled
