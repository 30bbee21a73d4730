"""The seam between the worker and a model: what every kind of model does with a batch of chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hf_asr_endpoint.audio.chunking import Chunk
from hf_asr_endpoint.types import TranscriptionOptions, Word

ShouldStop = Callable[[], bool]
"""Returns whether nobody wants a batch any more. Asked between two decoding steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of a chunk's text. Times, also of its words, are seconds from the beginning of the chunk.

    text: begins with a space. Words, joined, are the text.
    """

    start: float
    end: float
    text: str
    tokens: tuple[int, ...]
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkText:
    """What a model makes of one chunk. Pieces are in order.

    language: as a code ("de"), None where the model does not tell it. language_probability: 0 to 1, if detected.
    """

    pieces: tuple[Piece, ...]
    language: str | None = None
    language_probability: float | None = None


class Family(Protocol):
    """One loaded model. Only the worker's thread calls `transcribe`."""

    detects_language: bool
    """Whether a chunk without a given language is asked for its own."""

    def check(self, options: TranscriptionOptions) -> None:
        """Raise InvalidParameter for an option that this model cannot follow. From any thread."""
        ...

    def transcribe(
        self, chunks: Sequence[Chunk], options: TranscriptionOptions, *, should_stop: ShouldStop
    ) -> list[ChunkText]:
        """Return the text of each chunk. The options are those of all chunks."""
        ...


def whole_chunk(chunk: Chunk, text: str, tokens: Sequence[int], words: Sequence[Word] = ()) -> tuple[Piece, ...]:
    """Return a chunk's text as one piece, from the beginning of its speech to its end; none without a text."""
    if not text.strip():
        return ()
    return (
        Piece(
            start=chunk.speech[0].start_s,
            end=chunk.speech[-1].end_s,
            text=text,
            tokens=tuple(tokens),
            words=tuple(words),
        ),
    )
