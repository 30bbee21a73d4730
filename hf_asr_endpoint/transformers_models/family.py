"""The seam between the worker and a model: what every kind of model does with a batch of chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hf_asr_endpoint.audio.chunking import Chunk
from hf_asr_endpoint.types import TranscriptionOptions, Waveform, Word

HaveLeft = Callable[[], Sequence[bool]]
"""Returns for each chunk of a batch whether nobody waits for it any more. Asked between two decoding steps."""


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

    languages: tuple[str, ...]
    """Codes that a request may name; empty where the model takes none."""

    def check(self, options: TranscriptionOptions) -> None:
        """Raise InvalidParameter for an option that this model cannot follow. From any thread."""
        ...

    def transcribe(
        self, chunks: Sequence[ChunkInContext], options: TranscriptionOptions, *, have_left: HaveLeft
    ) -> list[ChunkText]:
        """Return the text of each chunk; any text for one that nobody waits for.

        options: of all chunks; only what `for_the_model` keeps.
        """
        ...


def for_the_model(options: TranscriptionOptions) -> TranscriptionOptions:
    """Return what a model itself is told. Chunks for which it is equal may be one batch."""
    return TranscriptionOptions(
        task=options.task, language=options.language, prompt=options.prompt, decoding=options.decoding
    )


def one_by_one(
    transcribe: Callable[[Sequence[ChunkInContext], HaveLeft], list[ChunkText]],
    chunks: Sequence[ChunkInContext],
    have_left: HaveLeft,
) -> list[ChunkText]:
    """Return the texts of chunks that a model must not see side by side, without those that nobody waits for."""
    return [
        ChunkText(text="") if have_left()[index] else transcribe([chunk], _only(have_left, index))[0]
        for index, chunk in enumerate(chunks)
    ]


def _only(have_left: HaveLeft, index: int) -> HaveLeft:
    return lambda: have_left()[index : index + 1]
