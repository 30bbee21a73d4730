"""The seam between the worker and a model: what every kind of model does with a batch of chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hf_asr_endpoint.audio.chunking import Chunk
from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.types import TranscriptionOptions, Waveform, Word

ShouldStop = Callable[[], bool]
"""Returns whether nobody wants a batch any more. Asked between two decoding steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkInContext:
    """A chunk, and the audio around it where it was cut inside speech. Both are empty elsewhere."""

    chunk: Chunk
    before: Waveform
    after: Waveform


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkText:
    """What a model makes of one chunk; an empty text where nothing was said.

    text: begins with a space. words: joined, they are the text; their times are seconds from the beginning of the
    chunk.
    """

    text: str
    tokens: tuple[int, ...] = ()
    words: tuple[Word, ...] = ()


class Family(Protocol):
    """One loaded model. Only the worker's thread calls `transcribe`."""

    context_s: float
    """Seconds of audio that the model wants around a chunk that was cut inside speech; its text is the chunk's."""

    def check(self, options: TranscriptionOptions) -> None:
        """Raise InvalidParameter for an option that this model cannot follow. From any thread."""
        ...

    def transcribe(
        self, chunks: Sequence[ChunkInContext], decoding: DecodingOptions, *, should_stop: ShouldStop
    ) -> list[ChunkText]:
        """Return the text of each chunk. The options are those of all chunks."""
        ...
